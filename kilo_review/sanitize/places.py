"""Places where secrets are put: addresses, headers, command lines, connection strings, settings, calls.

A place alone is no proof: what stands there must look like a secret, by one of three measures. The more a place is used
for other things, too, the more is asked.

Each pattern takes time in proportion to the text: it has no repetition within a repetition, and what is repeated before
something else must follow has an upper limit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from kilo_review.sanitize import kubernetes
from kilo_review.sanitize.literals import is_bare, is_coded, is_literal, is_mixed, is_placeholder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_STRONG = r"pass(?:word|wd|phrase|code)|passwd|pwd|secret|api[_-]?key|(?:access|secret|account|client)[_-]?key"
"""Ends of names of which all, or nearly all, mean a secret."""
_WEAK = (
    r"token|credentials?|authorization|(?<![A-Za-z0-9])(?:auth|pass)"
    r"|(?:private|signing|encryption|auth|master|shared|session|storage|subscription|service|license|deploy|access)_?key"
)
"""The same of names that may mean something else."""
_ANY = rf"(?:{_STRONG}|{_WEAK})"
_QUOTE = r"\\{0,2}['\"`]"
_PREFIX = r"(?:u8|[blnruf@$]{0,2})"
"""Letters before a quote that say what kind of string it is."""
WITHIN = r"(?<=[^\s'\"=(,])(?:\\?['\"`]|''|\"\")(?=[\w!@#$^~][^\s'\"`]{0,200}['\"`])"
"""A quotation mark that does not end a literal: it is escaped, doubled or of another kind, and another one follows."""
_VALUE = rf"((?:[^\s'\"`\\]|\\(?!['\"`])|{WITHIN}){{4,}}+)"
"""A quoted literal without white space."""
_BARE = rf"((?:[^\s'\"`;|&<>(){{}}\[\],]|{WITHIN}){{4,}}+)(?![(\[{{])"
"""A literal without quotes, in a command or a setting."""
_LOOSE = rf"((?:[^\s'\"`]|{WITHIN}){{3,}}+)"
"""What stands behind `user:` in a command."""
_GAP = r"(?:\s{0,3}=\s{0,3}|\s{1,9}|['\"],\s{0,9}['\"])"
"""Between an option and its value, also in a list of arguments."""
_TYPE = r":\s{0,9}(?:&(?:'\w{1,20}\s)?)?[A-Za-z_][\w.\[\]|]{0,40}\s{0,9}(?==)"
_SIGN = rf"(?:{_QUOTE})?\]?\s{{0,9}}(?:{_TYPE})?(?:=>|:=|\|\|=|\?\?=|={{1,3}}|:|\|\||\?\?|\.equals\()\s{{0,9}}\(?"
"""Between a name and its literal, in most languages; also with a type."""


class _Place(NamedTuple):
    """Where a secret stands: the last group of the pattern."""

    pattern: re.Pattern[str]
    is_secret: Callable[[str], bool]
    needs: str = ""
    """One of these words, in small letters, must be in a text before the pattern is tried."""


def found(text: str) -> Iterator[tuple[int, int]]:
    """Where secrets begin and end."""
    lowered = text.lower()
    for place in _PLACES:
        if not place.needs or any(word in lowered for word in place.needs.split("|")):
            yield from _spans(place, place.pattern.finditer(text))
    starts = [name.start() for name in _NAME_STARTS.finditer(text)]
    for place in _AFTER_NAMES:
        yield from _spans(place, filter(None, (place.pattern.match(text, start) for start in starts)))
    yield from kubernetes.found(text, lowered)


def _spans(place: _Place, matches: Iterable[re.Match[str]]) -> Iterator[tuple[int, int]]:
    for match in matches:
        group = match.lastindex or 0
        if place.is_secret(match[group]):
            yield match.span(group)


def _is_put(text: str) -> bool:
    """At a place that is used for nothing else: everything but what is put in when the program runs."""
    return not is_placeholder(text)


def _has_digit(text: str) -> bool:
    return any(map(str.isdigit, text)) and not is_placeholder(text)


def _is_password(text: str) -> bool:
    """Behind `user:`, where a group or a second number may stand, too."""
    return is_coded(text) and not re.fullmatch(r"[\d:.]+", text)


_SCHEME = re.compile(
    r"admin|api|basic|bearer|digest|facebook|github|gitlab|google|guest|jwt|ldap|local|negotiate|none|ntlm|oauth|oidc|saml|sanctum"
    r"|session|twitter|user|web",
    re.IGNORECASE,
)


def _is_no_scheme(text: str) -> bool:
    """What is the only argument of `auth`: a token, or the way in which it is done."""
    return is_literal(text) and not _SCHEME.fullmatch(text)


def _is_token(text: str) -> bool:
    return is_mixed(text) or (len(text) >= 36 and _has_digit(text))  # noqa: PLR2004  with `sk-`, 32 characters and more


def _place(
    pattern: str, is_secret: Callable[[str], bool] = is_literal, needs: str = "", *, cased: bool = False
) -> _Place:
    return _Place(re.compile(pattern, re.MULTILINE if cased else re.MULTILINE | re.IGNORECASE), is_secret, needs)


_NAMES = "pass|pwd|secret|token|key|auth|credential"
_ADDRESSES = (
    _place(r"://[^\s/@:'\"`]*+:([^\s/'\"`]{1,256})@", _is_put, "://"),
    _place(r"\b(?!https?:)[a-z][\w+.-]{1,20}://[^\s/@:'\"`]{0,80}:(?!\d{1,5}/)([^\s@'\"`]{1,256})@", _is_put, "://"),
    _place(r"://([\w.~+-]{20,200})@", _has_digit, "://"),
    _place(r"\b[\w.-]{1,80}:([^\s@/'\"`]{1,256})@(?:(?:tcp|udp|unix)\(|/\w)", _is_put, "@tcp(|@udp(|@unix(|@/"),
    _place(r"\bjdbc:oracle:\w{1,20}:[^\s/@'\"]{1,80}/([^\s@'\"]{1,200})@", _is_put, "jdbc:"),
    _place(
        r"(?:[?&#;]|%26|%3F)[\w.-]{0,40}(?:token|secret|signature|sig|password|passwd|passphrase|pwd|api[_-]?key|access[_-]?key)"
        r"(?:=|%3D)([^&\s'\"`<>#;\\]{4,}+)",
        is_literal,
        _NAMES + "|sig",
    ),
    _place(r"[?&][\w-]{0,40}(?:key|auth|pass|code)=([^&\s'\"`<>#]{8,}+)", _has_digit, "key|auth|pass|code"),
    _place(r"(?:AccountKey|SharedAccessKey|SharedAccessSignature)=([^;\s'\"`]{16,}+)", _is_put, "a"),
    _place(r"[;\"'](?:password|pwd)\s{0,9}=\s{0,9}([^;\s'\"()]++)", _is_put, "password|pwd"),
)
_HEADERS = (
    _place(
        r"authorization['\"]?\]?\s{0,9}(?:=>|[:=,])\s{0,9}['\"`]?(?:bearer|basic|token|apikey|digest)\s{1,9}(?!realm)([^\s'\"`]{6,})",
        _is_put,
        "authorization",
    ),
    _place(
        r"\bauthorization\s{0,3}:\s{0,3}(?!(?:bearer|basic|token|digest|negotiate)\b)([\w.~+/=-]{8,}+)(?=['\"]|\s*$)",
        _has_digit,
        "authorization",
    ),
    _place(
        r"\b(?:set-)?cookie\s{0,3}:\s{0,3}[\w.-]{0,40}(?:sess|sid|token|auth)[\w.-]{0,20}=([^;\s'\"]{8,}+)",
        _has_digit,
        "cookie",
    ),
    _place(r"\bbearer\s{1,9}([\w.~+/-]{16,}+={0,2})", _has_digit, "bearer"),
    _place(r"\bbasic\s{1,9}([A-Za-z0-9+/]{12,}+={0,2})(?![\w=])", is_mixed, "basic"),
    _place(
        r"-(?:api-?key|token|secret|password|key|auth|authorization)\s{0,3}:\s{0,3}([^\s'\"`,;(){}\[\]@]{6,}+)",
        is_literal,
        "-",
    ),
)
_COMMANDS = (
    _place(
        r"(?<![\w-])(?:--(?:proxy-)?user|-[A-Za-z]{0,6}[uU])[= ]?([\"'])[^\s:'\"/@]{1,80}:"
        r"([^'\"`\n]{3,200}\s[^'\"`\n]{1,200})\1",
        _is_put,
        "-",
        cased=True,
    ),
    _place(
        rf"(?<![\w-])(?:--(?:proxy-)?user|--userpwd|--auth|--credentials?|-[A-Za-z]{{0,6}}[uUa])(?:{_GAP})?['\"]?"
        rf"[^\s:'\"/@]{{0,80}}['\"]?:(?!//)['\"]?{_LOOSE}",
        _is_password,
        "-",
        cased=True,
    ),
    _place(
        rf"\b(?:curl|wget|https?)\b[^\n]{{0,300}}?\s['\"]?(?:--(?:proxy-)?user|-[A-Za-z]{{0,6}}[uUa]){_GAP}?['\"]?"
        rf"[^\s:'\"/@]{{0,80}}['\"]?:(?!//)['\"]?{_LOOSE}",
        _is_put,
        "curl|wget|http",
        cased=True,
    ),
    _place(
        rf"(?<![\w-])--[\w.]?[\w.-]{{0,30}}(?:{_STRONG}|token|passphrase|\bpass|[_-]key|-pass)=['\"]?{_BARE}",
        is_literal,
        _NAMES,
    ),
    _place(
        rf"(?<![\w-])--[\w.]?[\w.-]{{0,30}}(?:{_STRONG}|token|\bpass|-key|-pass){_GAP}['\"]?(?!-){_BARE}",
        is_coded,
        _NAMES,
    ),
    _place(
        rf"(?<![\w-])--[\w.]?[\w.-]{{0,30}}(?:{_STRONG}|token|\bpass|-pass)\s{{1,9}}(?:['\"]?(?!-){_BARE}(?:['\"`]|\s{{0,9}}$|\s{{1,9}}(?:-|\d?>|\||&&|\\$)))",
        is_literal,
        _NAMES,
    ),
    _place(
        rf"\b(?:mysql|maria|sshpass|7za?\b|rar\b|unrar\b)[^\n]{{0,300}}?[\s'\"]-p['\"]?(?![\s'\"]){_BARE}",
        is_coded,
        "mysql|maria|sshpass|7z|rar",
        cased=True,
    ),
    _place(rf"\bsshpass\b[^\n]{{0,60}}?[\s'\"]-p{_GAP}['\"]?{_BARE}", _is_put, "sshpass", cased=True),
    _place(
        rf"\b(?:login|az|oc|mongo\w{{0,9}}|sftp|lftp|cqlsh|clickhouse-client|influx)\b[^\n]{{0,300}}?[\s'\"]-p{_GAP}['\"]?{_BARE}",
        is_coded,
        "-p",
        cased=True,
    ),
    _place(rf"\blogin\b[^\n]{{0,200}}?[\s'\"]-p{_GAP}['\"]?{_BARE}", is_literal, "login", cased=True),
    _place(
        rf"\b(?:sqlcmd|bcp|isql|zip|unzip|osql)\b[^\n]{{0,300}}?[\s'\"]-P{_GAP}?['\"]?{_BARE}",
        _is_put,
        "-p",
        cased=True,
    ),
    _place(rf"\bredis-(?:cli|benchmark)\b[^\n]{{0,300}}?[\s'\"]-a{_GAP}?['\"]?{_BARE}", _is_put, "redis", cased=True),
    _place(rf"\bldap\w{{3,9}}\b[^\n]{{0,300}}?[\s'\"]-w{_GAP}?['\"]?{_BARE}", _is_put, "ldap", cased=True),
    _place(
        r"\b(?:sqlplus|rman|sqlldr|expdp|impdp)\b[^\n]{0,200}?[\s'\"=][\w$#]{1,60}/([^\s'\"`@/;|&]{3,}+)(?=@|['\"\s]|$)",
        _is_put,
        "sqlplus|rman|sqlldr|expdp|impdp",
    ),
    _place(rf"\b(?:useradd|usermod)\b[^\n]{{0,200}}?\s-p{_GAP}?['\"]?{_BARE}", _is_put, "useradd|usermod", cased=True),
    _place(rf"\bnet\d?\s{{1,9}}user\s{{1,9}}[^\s/]{{1,80}}\s{{1,9}}(?!/|\*){_BARE}", is_coded, "net"),
    _place(
        rf"(?<![\w-])-(?:(?:src|dest|new)?(?:store|key)pass|storepasswd|keypasswd){_GAP}['\"]?(?!-){_BARE}",
        is_literal,
        "pass",
    ),
    _place(rf"(?<![\w-])--oauth2-bearer{_GAP}['\"]?(?!-){_BARE}", _is_put, "oauth2-bearer"),
    _place(rf"\bopenssl(?:\s[^\n]{{0,200}}?)?\s-k\s{{1,9}}['\"]?(?!-){_BARE}", _is_put, "openssl", cased=True),
    _place(rf"\bssh-keygen(?:\s[^\n]{{0,200}}?)?\s-[NP]\s{{1,9}}['\"]?(?!-){_BARE}", _is_put, "ssh-keygen", cased=True),
    _place(
        rf"\bsnmp\w{{2,9}}(?:\s[^\n]{{0,200}}?)?\s-c\s{{1,9}}['\"]?(?!-|public\b){_BARE}", _is_put, "snmp", cased=True
    ),
    _place(rf"\bvault\s{{1,9}}login\s{{1,9}}['\"]?(?!-){_BARE}(?![=\w])", is_coded, "vault"),
    _place(rf"\b(?:xfreerdp|wfreerdp|mstsc)\b[^\n]{{0,200}}?\s/p:['\"]?{_BARE}", _is_put, "freerdp|mstsc"),
    _place(
        rf"\brabbitmqctl\s{{1,9}}(?:add_user|change_password)\s{{1,9}}\S{{1,80}}\s{{1,9}}['\"]?{_BARE}",
        _is_put,
        "rabbitmqctl",
    ),
    _place(
        rf"(?:\bkinit\b|\bsudo\s[^\n]{{0,40}}?-S\b|-stdin\b|\bchpasswd\b)[^\n]{{0,80}}<<<\s{{0,3}}['\"]?{_BARE}",
        _is_put,
        "<<<",
        cased=True,
    ),
    _place(rf"\blftp\b[^\n]{{0,200}}?\s-u\s{{1,9}}['\"]?[^\s,'\"]{{1,80}},['\"]?{_BARE}", _is_put, "lftp", cased=True),
    _place(rf"\bsmbclient\b[^\n]{{0,300}}?\s['\"]?[\w.\\-]{{1,60}}%{_BARE}", _is_put, "smbclient"),
    _place(rf"\bplink\b[^\n]{{0,300}}?\s-pw\s{{1,9}}['\"]?{_BARE}", _is_put, "plink"),
    _place(rf"-pass(?:in|out)?\s{{1,9}}['\"]?pass:{_BARE}", _is_put, "pass:"),
    _place(
        rf"\bhtpasswd\s{{1,9}}-\w{{0,9}}b\w{{0,9}}\s{{1,9}}\S{{1,200}}\s{{1,9}}\S{{1,80}}\s{{1,9}}['\"]?{_BARE}",
        _is_put,
        "htpasswd",
    ),
    _place(rf"/user:\S{{1,80}}\s{{1,9}}{_BARE}", is_coded, "/user:"),
    _place(rf"^\W{{0,20}}(?:requirepass|masterauth)\s{{1,9}}['\"]?{_BARE}", _is_put, "requirepass|masterauth"),
    _place(
        r"\becho\s{1,9}(?:-n\s{1,9})?['\"]?([^\s'\"`|$]{3,200})['\"]?\s{0,9}\|\s{0,9}[^\n|]{0,80}?"
        r"(?:-stdin|\bsudo\s[^\n|]{0,20}-S|chpasswd|-passphrase-fd)",
        _is_put,
        "echo",
    ),
    _place(rf"\blogin\s{{1,9}}\S{{1,80}}\s{{1,9}}password\s{{1,9}}['\"]?{_BARE}", _is_put, "login"),
    _place(rf"^[ \t+-]*+password[ \t]{{1,9}}['\"]?{_BARE}['\"]?[ \t]*+$", is_coded, "password"),
)
_SETTINGS = (
    _place(
        rf"\b[A-Z][A-Z0-9_]{{0,60}}?(?:PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|SECRET|TOKEN|(?:API|ACCESS|SECRET|PRIVATE|AUTH|SIGNING|ENCRYPTION)_?KEY)=['\"]?{_BARE}",
        is_bare,
        _NAMES,
        cased=True,
    ),
    _place(
        rf"\b(?:[A-Z][A-Z0-9_]{{0,60}}?)?(?:PASSWORD|PASSWD|PASSPHRASE|_PASS|PWD|SECRET|TOKEN|API_?KEY|ACCESS_KEY|SECRET_KEY)="
        rf"['\"]?(?=[^\s'\"]{{8}}){_BARE}(?=['\"\s]|$)",
        is_literal,
        _NAMES,
        cased=True,
    ),
    _place(
        rf"^\W{{0,9}}#\s{{0,9}}define\s{{1,9}}\w{{0,60}}(?:{_STRONG}|token)\w{{0,9}}\s{{1,20}}\(?L?\"([^\s\"\\]{{4,}}+)\"",
        is_literal,
        "define",
    ),
    _place(rf"^\W{{0,9}}ENV\s{{1,9}}\w{{0,60}}(?:{_STRONG}|token)[ \t]{{1,9}}['\"]?{_BARE}", is_literal, "env"),
    _place(rf"(?<![\w])(?:\w{{1,40}}[._-])?(?:{_STRONG}|token|pass)=(?!=)['\"]?{_BARE}", is_bare, _NAMES),
    _place(
        rf"\b(?:name|key|id)['\"]?\s{{0,4}}[:=]\s{{0,4}}['\"]?[\w.:-]{{0,40}}{_ANY}['\"]?\s{{0,4}},?\s{{1,40}}[+-]?\s{{0,40}}"
        r"['\"]?value['\"]?\s{0,4}[:=]\s{0,4}['\"]?([^\s'\",}<>]{4,}+)",
        is_literal,
        "value",
    ),
    _place(
        rf"<[\w:.-]{{0,40}}{_ANY}(?:\s[^<>\n]{{0,200}})?>\s{{0,40}}(?:<!\[CDATA\[)?([^<>\s\]]{{4,}}+)(?:\]\]>)?\s{{0,40}}</",
        is_literal,
        "</",
    ),
    _place(
        r"\$(?:apr1|2[abxy]?|[156y]|argon2\w{0,3}|scrypt|bcrypt|pbkdf2[\w-]{0,10})\$[\w./+=,$-]{20,}+", _has_digit, "$"
    ),
    _place(r"\bpbkdf2_\w{1,20}\$\d{1,9}\$[\w./+=$-]{20,}+", _has_digit, "pbkdf2_"),
    _place(r"\{S?(?:SHA|MD5)(?:256|512)?\}([A-Za-z0-9+/]{20,}+={0,2})", _has_digit, "}"),
)
_BEFORE_NAMES = (
    _place(rf"\$\{{[\w.]{{0,60}}(?:{_STRONG}):-?([^\s}}'\"]{{4,}}+)\}}", is_literal, "${"),
    _place(
        rf"(?:cmp|equals|compare\w{{0,20}}|strcpy|verify\w{{0,20}})\(\s{{0,9}}[\w.]{{0,40}}(?:{_STRONG})\s{{0,9}},\s{{0,9}}"
        rf"{_QUOTE}{_VALUE}(?=['\"`])",
        is_literal,
        "cmp|equals|compare|strcpy|verify",
    ),
    _place(
        rf"(?:cmp|equals|compare\w{{0,20}}|verify\w{{0,20}})\(\s{{0,9}}{_PREFIX}{_QUOTE}{_VALUE}['\"`]\s{{0,9}},"
        rf"\s{{0,9}}[\w.]{{0,40}}(?:{_STRONG})\b",
        is_literal,
        "cmp|equals|compare|verify",
    ),
)
"""What begins before a name: tried everywhere."""
_AFTER_NAMES = (
    _place(rf"{_ANY}{_SIGN}{_PREFIX}\#{{0,3}}{_QUOTE}{{1,3}}{_VALUE}(?=\\{{0,2}}['\"`])", is_coded, _NAMES),
    _place(rf"(?:{_STRONG}){_SIGN}{_PREFIX}\#{{0,3}}{_QUOTE}{{1,3}}{_VALUE}(?=\\{{0,2}}['\"`])", is_literal, _NAMES),
    _place(
        rf"(?:{_STRONG})(?:\s{{0,9}}:[^=\n]{{0,40}})?\s{{0,9}}=\s{{0,9}}[^\n]{{1,120}}?(?:\bor\s|\|\||\?\?|\s:)\s{{0,9}}"
        rf"{_QUOTE}{_VALUE}(?=['\"`])",
        is_literal,
        _NAMES,
    ),
    _place(
        rf"(?:{_STRONG})\s{{0,9}}=\s{{0,9}}(?:new\s{{1,9}})?[A-Za-z][\w:.]{{0,30}}\(\s{{0,9}}{_QUOTE}{_VALUE}(?=['\"`]\))",
        is_literal,
        _NAMES,
    ),
    _place(
        rf"(?:{_STRONG})(?:\s{{1,3}}(?:As\s)?[\w.<>*&()?:]{{1,30}}|:\s?[\w.]{{1,30}}\?){{0,2}}\s{{0,9}}(?::=|=|<-|\{{)\s{{0,9}}"
        rf"(?:\[\]byte\()?{_QUOTE}{_VALUE}(?=['\"`])",
        is_literal,
        _NAMES,
    ),
    _place(
        rf"(?:{_STRONG})\s{{0,9}}=\s{{0,9}}[(\\]\s{{0,9}}\n\s{{0,40}}{_QUOTE}{_VALUE}(?=['\"`])", is_literal, _NAMES
    ),
    _place(rf"(?:{_STRONG})\s{{0,9}},\s{{0,9}}{_QUOTE}{_VALUE}(?=['\"`]\)\s{{0,9}}(?:[!=]=|\)))", is_literal, _NAMES),
    _place(rf"(?:{_STRONG})['\"]\s{{0,9}}>\s{{0,9}}(?:<value>)?([^<>\s'\"]{{4,}}+)(?=\s{{0,9}}</)", is_literal, _NAMES),
    _place(rf"(?:token|passphrase|credentials?){_SIGN}{_QUOTE}(?=\S{{16}}){_VALUE}(?=['\"`])", _has_digit, _NAMES),
    _place(
        rf"{_ANY}{_QUOTE}\s{{0,9}},\s{{0,9}}(?:\w{{1,20}}\s{{0,3}}=\s{{0,3}})?{_PREFIX}\#{{0,3}}{_QUOTE}{_VALUE}(?=\\{{0,2}}['\"`])",
        is_coded,
        _NAMES,
    ),
    _place(
        rf"{_ANY}\s{{0,9}}(?:=|:|=>|\|\|=)\s{{0,9}}%[qQwW]?[({{\[<|!/]([^\s(){{}}\[\]<>|!/'\"]{{4,}}+)[)}}\]>|!/]",
        is_literal,
        "%",
    ),
)
_CODE = (
    _place(
        rf"(?<!\w){_QUOTE}{_VALUE}['\"`]\s{{0,9}}(?:\.equals(?:IgnoreCase)?\(|={{2,3}})\s{{0,9}}[\w.]{{0,40}}(?:{_STRONG})\b",
        is_literal,
        "pass|pwd|secret|key",
    ),
    _place(rf"^[^\s#;]{{0,200}}:_(?:password|authToken|auth)={_BARE}", _is_put, ":_"),
    _place(rf"\bmysqladmin\b[^\n]{{0,200}}?\spassword\s{{1,9}}['\"]?(?!-){_BARE}", _is_put, "mysqladmin"),
    _place(
        rf"\bconfigure\s{{1,9}}set\s{{1,9}}[\w.]{{0,60}}(?:secret_access_key|session_token)\s{{1,9}}['\"]?{_BARE}",
        _is_put,
        "configure",
    ),
    _place(
        rf"(?:\bauth|\bbasic|basic_?auth\w{{0,20}}|digest_?auth|ntlm_?auth|passwordauthentication|passwordcredentials?)"
        rf"(?:['\"]?\s{{0,9}}[:=]\s{{0,9}}[\[(]|\s{{0,3}}\()\s{{0,9}}(?:{_QUOTE}[^\s'\"`]{{0,80}}['\"`]|[\w.$>()-]{{1,80}})\s{{0,9}},"
        rf"\s{{0,9}}(?:Some\(\s{{0,9}})?{_QUOTE}{_VALUE}(?=['\"`])",
        is_literal,
        "auth|basic|credential",
    ),
    _place(
        rf"(?:authenticate|login|log_in|sign_?in|credentials?|connect|logon)\s{{0,3}}\(\s{{0,9}}(?:{_QUOTE}[^\s'\"`]{{0,80}}['\"`]|[\w.$>()-]{{1,80}})\s{{0,9}},"
        rf"\s{{0,9}}{_QUOTE}{_VALUE}(?=['\"`])",
        is_coded,
        "auth|log|sign|credential|connect",
    ),
    _place(
        rf"(?:\bgetConnection|\bPDO|\bmysqli?(?:_connect)?|\b(?:pymysql|MySQLdb|psycopg2?|cx_Oracle|oracledb)\.connect)\s{{0,3}}\("
        rf"\s{{0,9}}[^,\n]{{1,200}},\s{{0,9}}(?:{_QUOTE}[^\s'\"`]{{0,80}}['\"`]|[\w.$>()-]{{1,80}})\s{{0,9}},\s{{0,9}}{_QUOTE}{_VALUE}"
        rf"(?=['\"`])",
        is_literal,
        "connect|pdo|mysqli",
    ),
    _place(
        rf"(?:\bbtoa\s{{0,3}}\(|\bBuffer\.from\s{{0,3}}\(|b64encode\s{{0,3}}\(b?)\s{{0,9}}{_QUOTE}[^\s:'\"`]{{1,80}}:"
        rf"([^\s'\"`]{{3,}}+)(?=['\"`])",
        is_literal,
        "btoa|buffer|b64encode",
    ),
    _place(rf"\.auth\s{{0,3}}\(\s{{0,9}}{_QUOTE}{_VALUE}['\"`]\s{{0,9}}\)", _is_no_scheme, ".auth"),
    _place(
        rf"(?:\b(?:set|with)?_?|\.)(?:pass(?:word|wd|phrase)|client_?secret|secret)\s{{0,3}}\(\s{{0,9}}{_QUOTE}{_VALUE}(?=['\"`]\s{{0,9}}\))",
        is_literal,
        "pass|secret",
    ),
    _place(
        rf"(?:\b(?:set|with)_?|\.)(?:\w{{1,20}}_?)?(?:token|key|secret|credentials?|pass)\s{{0,3}}\(\s{{0,9}}{_QUOTE}{_VALUE}(?=['\"`]\s{{0,9}}\))",
        is_coded,
        _NAMES,
    ),
    _place(rf"ConvertTo-SecureString\s{{1,9}}(?:-String\s{{1,9}})?{_QUOTE}{_VALUE}", _is_put, "securestring"),
    _place(
        r"\bidentified\s{1,9}(?:with\s{1,9}\S{1,60}\s{1,9})?by\s{1,9}(?:values\s{1,9})?['\"]([^'\"\n]++)['\"]",
        _is_put,
        "identified",
    ),
    _place(r"\bpassword\s{1,9}(?:=\s{0,9})?N?'([^'\n]{3,200})'", is_literal, "password"),
    _place(
        r"\bset\s{1,9}password\s{1,9}for\s{1,9}[^\n=]{1,200}=\s{0,9}(?:password\s{0,3}\(\s{0,3})?['\"]([^'\"\n]++)['\"]",
        _is_put,
        "password",
    ),
    _place(
        r"\b(?:alter|create|grant)\s[^\n]{1,200}?\sidentified\s{1,9}by\s{1,9}([^\s'\";,]{3,200})", _is_put, "identified"
    ),
)
_TOKENS = (
    _place(
        r"\b(?:github_pat_|gh[a-z]_|xox[a-z][.-]|xapp-|npm_|hf_|gl[a-z]{2,6}-|glsa_|AIza|ya29\.|do[a-z]_v1_|shp[a-z]{2}_|whsec_"
        r"|[rsp]k_(?:live|test)_|AGE-SECRET-KEY-1|dckr_(?:pat|oat)_|GOCSPX-|gsk_|hv[sbr]\.|figd_|lin_api_|PMAK-|ATATT3|ATBB"
        r"|sq0[a-z]{3}-|EAAA|rubygems_|tskey-|nvapi-|r8_|pplx-|xai-|sntry[a-z]_|dapi|xkeysib-|dp\.[a-z]{2,5}\.|pul-|ntn_|cfut_"
        r"|CLOJARS_|oy2|amzn1\.|atlasv1\.)[\w-]{16,}+[\w.=-]*+",
        _has_digit,
        cased=True,
    ),
    _place(r"\bsk-[\w-]{17,}+", _is_token, "sk-", cased=True),
    _place(r"\bA(?:KIA|SIA|IDA|ROA|GPA|NPA|NVA|BIA|CCA)[A-Z0-9]{12,}+", _is_put, cased=True),
    _place(r"\beyJ[\w-]{8,}+\.eyJ[\w-]{4,}+(?:\.[\w-]*+)?", _is_put, "eyj", cased=True),
    _place(r"\b(?:AC|SK)[0-9a-f]{32}\b", _is_put, cased=True),
)
_PLACES = (*_ADDRESSES, *_HEADERS, *_COMMANDS, *_SETTINGS, *_BEFORE_NAMES, *_CODE, *_TOKENS)
_NAME_STARTS = re.compile(
    "pass|pwd|secret|api|access|account|client|token|credential|auth|private|signing|encryption|master|shared|session|storage"
    "|subscription|service|license|deploy",
    re.IGNORECASE,
)
"""Where `_ANY` may begin: looked for once, as there are several patterns that begin with it."""
