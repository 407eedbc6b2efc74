"""Secrets in what is published: found where they are put, masked before a text is cut, and in every place and format."""

from __future__ import annotations

import json
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from kilo_review.cli.app import main
from kilo_review.core.errors import ConfigError
from kilo_review.core.finding import Status
from kilo_review.core.outcome import State
from kilo_review.forge import body
from kilo_review.judge import parse, verify
from kilo_review.judge.policy import ExitCode
from kilo_review.models.faults import message_of
from kilo_review.models.locality import endpoint
from kilo_review.report import FORMATS, renderer
from kilo_review.report.masking import is_ci, mask_for, published
from kilo_review.report.view import View
from kilo_review.sanitize.repeated import Repeated
from kilo_review.sanitize.secrets import MASK, masked, seen_in
from kilo_review.sanitize.terminal import shortened, without_credentials
from tests.support.here import run_here
from tests.support.posting import finding, outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Repo, Result, Runner

    Run = Callable[..., Result]

PUT = [
    # A quotation mark within a literal does not end it.
    """password = "«Xk4'vB9qLmT2zR7w»\"""",
    """const password = '«Xk4"vB9qLmT2zR7w»';""",
    r'''password = "«Xk4\"vB9qLmT2zR7w»"''',
    "password: '«Xk4''vB9qLmT2zR7w»'",
    """curl -u "me:«Xk4'vB9qLmT2zR7w»" https://x.example""",
    """deploy --password='«Xk4"vB9qLmT2zR7w»' now""",
    """mysql -p"«Xk4'vB9qLmT2zR7w»" db""",
    """.auth("user", "«Xk4'vB9qLmT2zR7w»")""",
    r"$password = '«it\'sXk4vB9qLmT2zR7w»';",
    'pw = os.getenv("DB_PASSWORD", default="«Xk4vB9qLmT2zR7w»")',
    "SET PASSWORD FOR 'app'@'db' = '«hunter2secret»';",
    "ALTER USER scott IDENTIFIED BY «hunter2secret»;",
    'let r = c.get(u).basic_auth("user", Some("«hunter2secret»")).send()?;',
    'db, err := sql.Open("mysql", "root:«hunter2secret»@/db")',
    'if (strcmp(password, "«hunter2secret»") == 0) {',
    'return hmac.compare_digest(password, "«hunter2secret»")',
    "return hmac.compare_digest(b'«hunter2secret»', self.api_key)",
    'export X="${DB_PASSWORD:-«hunter2secret»}"',
    "ALTER LOGIN sa WITH PASSWORD = N'«hunter2secret»';",
    'wchar_t *password = L"«hunter2secret»";',
    'auto secret = u8"«hunter2secret»";',
    'curl https://x -u "bob:«my pass 9»"',
    '"Authorization" => "Basic «dXNlcjpwYXNz»"',
    'var dsn = "root:«hunter2»@tcp(db:3306)/x"',
    # The line, with the secret between « and »; ^ is nothing and keeps scanners of this repository calm.
    "curl -u admin:«hunter2» https://x.y/z",
    "curl -s -uadmin:«hunter2» https://x.y/z",
    "curl -u admin:'«hunter2»' https://x.y/z",
    'const PASSWORD: &str = "«hunter2secret»";',
    'static API_KEY: &\'static str = "«hunter2secret»";',
    "password ||= '«hunter2secret»'",
    "password = ('«hunter2secret»')",
    "password = os.environ.get('X') or '«hunter2secret»'",
    "const password = (process.env.PW || '«hunter2secret»');",
    'String password = new String("«hunter2secret»");',
    'if ("«hunter2secret»".equals(password)) {',
    'if (password.equals("«hunter2secret»")) {',
    'if (strcmp(password, "«hunter2secret»") == 0) {',
    '<setting name="password">«hunter2secret»</setting>',
    '<property name="password"><value>«hunter2secret»</value></property>',
    "//registry.example/:_password=«hunter2secret»",
    "mysqladmin -u root password «hunter2secret»",
    "aws configure set aws_secret_access_key «hunter2secret»",
    'curl -u "admin":"«hunter2»" https://x.y/z',
    "snmpwalk -c «hunter2» host",
    "ssh-keygen -N «hunter2» -f key",
    "openssl enc -k «hunter2»",
    "openssl -k «hunter2»",
    "lftp -u admin,«hunter2» host",
    "sudo -S ls <<< '«hunter2»'",
    "curl --user admin:«S3cr3t-pass» https://x.y",
    'curl --user "admin:«S3cr3t-pass»" https://x.y',
    "curl --user='admin:«S3cr3t-pass»' https://x.y",
    "curl --proxy-user bob:«letmein77» https://x.y",
    "curl -U bob:«letmein77» https://x.y",
    "curl -fsSLu deploy:«tr0ub4dor» https://x.y",
    'subprocess.run(["curl", "-u", "admin:«hunter2»", url])',
    "curl -H 'X-Api-Key: «abc123def456»' https://x.y",
    'curl -H "PRIVATE-TOKEN: «abc123def456»" https://x.y',
    'curl -H "X-Auth-Token: «correcthorsebattery»" https://x.y',
    'headers["X-Api-Key"] = "«abc123def456»"',
    'req.Header.Set("X-Api-Key", "«abc123def456»")',
    '"Authorization": "«abc123def456»"',
    "mysql -u root -p«hunter2» db",
    "mysqldump -uroot -p«S3cret99» db > x",
    "mysql -u root --password=«hunter2» db",
    "mysql --user=root --password «hunter2» db",
    "sshpass -p «hunter2» ssh a@b",
    "sshpass -p '«hunter2»' ssh a@b",
    "sshpass -p«hunter2x» ssh a@b",
    "PGPASSWORD=«hunter2» psql -h db",
    "MYSQL_PWD=«hunter2» mysql",
    "docker login -u bob -p «hunter2» registry.local",
    "docker login --username bob --password «hunter2»",
    "podman login -u=bob -p=«hunter2» quay.example",
    "wget --http-password=«hunter2» https://x.y",
    "redis-cli -a «hunter2» ping",
    "redis-cli -h cache -a '«hunter2»' ping",
    "openssl enc -aes-256-cbc -pass pass:«hunter2» -in a",
    "openssl rsa -passin pass:«hunter2» -in a",
    "sqlcmd -S db -U sa -P «hunter2»",
    "helm install x --set db.password=«hunter2»",
    "az login --service-principal -u app -p «hunter2»",
    "./deploy --token «abc123def456»",
    "./deploy --api-key=«abc123def456»",
    "./deploy --client-secret «abc123def456»",
    "htpasswd -b file bob «hunter2»",
    r"net use Z: \\srv\share /user:bob «hunter2»",
    "echo '«hunter2»' | sudo -S ls",
    "echo «hunter2» | docker login --password-stdin",
    "const token = `«s3cr3t-t0ken-value»`;",
    "password = %q(«hunter2»)",
    "password = %q{«hunter2»}",
    "api_key = %Q[«abc123def456»]",
    'const token = "«short1234»"',
    'token = "«s3cr3t9»"',
    "client.auth('«hunter2»')",
    "request(app).auth('admin', '«hunter2»')",
    'request.get(url).auth("admin", "«hunter2»", true)',
    'requests.get(url, auth=("admin", "«hunter2»"))',
    'requests.get(url, auth=HTTPBasicAuth("admin", "«hunter2»"))',
    'httpx.BasicAuth("admin", "«hunter2»")',
    'basicAuth("admin", "«hunter2»")',
    "basic_auth('admin', '«hunter2»')",
    '.withBasicAuth("admin", "«hunter2»")',
    'Credentials.basic("admin", "«hunter2»")',
    'req.SetBasicAuth("admin", "«hunter2»")',
    'redis.auth("«hunter2»")',
    ".auth(`«hunter2abc»`)",
    'client.login("bob", "«hunter2»")',
    '.setPassword("«hunter2»");',
    ".secretKey('«abc123def456»')",
    'new PasswordAuthentication("bob", "«hunter2»".toCharArray())',
    "auth: { user: 'bob', pass: '«hunter2»' }",
    "https://bob:«p@ss!w0rd»@host/path",
    "jdbc:postgresql://h/db?user=a&password=«hunter2»",
    "jdbc:mysql://h/db?user=a&password=«hunter2»&useSSL=false",
    "jdbc:oracle:thin:scott/«tiger99»@//h:1521/x",
    "host=db user=a password=«hunter2» dbname=x",
    "Endpoint=sb://x/;SharedAccessKeyName=R;SharedAccessKey=«aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789abcdefg=»",
    "SharedAccessSignature=«sv2019abcdef1234567»",
    "https://x/y?token=«correcthorse»",
    "https://x/y?api_key=«abc123»&b=1",
    "https://x/y?access_token=«abcdefgh»",
    "https://x/cb#access_token=«abcdefgh12»&t=1",
    "user:pass DSN https://«0123456789abcdef0123456789abcdef»@sentry.io/1",
    "password: «hunter2»",
    "password = «hunter2»",
    "spring.datasource.password=«hunter2»",
    "<password>«hunter2»</password>",
    '<property name="password" value="«hunter2»"/>',
    '<add key="ApiKey" value="«abc123def456»"/>',
    "<db:password>«hunter2»</db:password>",
    "<apiKey>«abc123def456»</apiKey>",
    'credential = "«hunter2»"',
    'credentials = "«hunter2»"',
    'auth = "«hunter2»"',
    'auth_token = "«hunter2x»"',
    'accessKey: "«abc123def»"',
    'signing_key = "«abc123def456»"',
    'encryption_key = "«abc123def456»"',
    "define('DB_PASSWORD', '«hunter2»');",
    'os.environ.setdefault("API_TOKEN", "«abc123def»")',
    'os.getenv("DB_PASSWORD", "«hunter2»")',
    "process.env.TOKEN || '«abc123def»'",
    'export TOKEN="«abc123def»"',
    'ConvertTo-SecureString "«hunter2»" -AsPlainText -Force',
    "ENV DB_PASSWORD «hunter2»",
    '#define DB_PASSWORD "«hunter2»"',
    '+#  define API_TOKEN_1   ("«hunter2x9»")',
    "sqlplus -s scott/«tiger»@//db/orcl @scripts/run.sql",
    'sqlplus "scott/«tiger»"',
    "rman target sys/«hunter2»@prod",
    "impdp userid=scott/«tiger» dumpfile=a.dmp",
    "useradd -m -p '«hunter2»' joe",
    "usermod -p «hunter2» joe",
    "net user joe «hunter2» /add",
    'DriverManager.getConnection(url, "bob", "«hunter2»");',
    "new PDO($dsn, 'bob', '«hunter2»');",
    'pymysql.connect(host, "bob", "«hunter2»")',
    'mysqli_connect("h", "bob", "«hunter2»");',
    'curl -H "Authorization: «hunter2x9»" https://x',
    "curl --oauth2-bearer «hunter2» https://x",
    "curl -H 'Cookie: session=«hunter2x9»' https://x",
    "keytool -list -storepass «hunter2»",
    "jarsigner -keypass «hunter2» a.jar",
    'btoa("user:«hunter2»")',
    'Buffer.from("user:«hunter2»").toString("base64")',
    'base64.b64encode(b"user:«hunter2»")',
    "openssl enc -aes-256-cbc -k «hunter2»",
    "ssh-keygen -t rsa -N «hunter2» -f k",
    "snmpwalk -v2c -c «hunter2» host",
    "vault login «hunter2»",
    "xfreerdp /u:bob /p:«hunter2»",
    "rabbitmqctl add_user bob «hunter2»",
    "kinit bob <<< «hunter2»",
    "--build-arg TOKEN=«abc123def»",
    "docker run -e MYSQL_ROOT_PASSWORD=«hunter2» mysql",
    "- name: DB_PASSWORD value: «hunter2»",
    "_password=«aHVudGVyMg==»",
    "machine x login bob password «hunter2»",
    "SET PASSWORD = PASSWORD('«hunter2»');",
    "IDENTIFIED WITH mysql_native_password BY '«hunter2»'",
    "requirepass «hunter2»",
    "«sk^-aBcDeFgHiJkLmNoPqRsT1234»",
    "«dc^kr_pat_aBcDeFgHiJkLmNoPqRsTuVwXyZ1»",
    "«GO^CSPX-aBcDeFgHiJkLmNoPqRsTuVwXyZ01»",
    "«gs^k_aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789aBcDeFgHiJkL»",
    "«hvs^.aBcDeFgHiJkLmNoPqRsTuVwXyZ01»",
    "«figd^_aBcDeFgHiJkLmNoPqRsTuVwXyZ01»",
    "«lin^_api_aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789abcd»",
    "«PMAK^-0123456789abcdef01234567-0123456789abcdef0123456789abcdef01»",
    "«ATATT^3xFfGF0aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789»",
    "bob:«$apr1$abcd1234$aBcDeFgHiJkLmNoPqRsTu1»",
    "bob:«$2y$05$aBcDeFgHiJkLmNoPqRsTuOaBcDeFgHiJkLmNoPqRsTuVwXyZ01234»",
    "root:«$6$salt1234$aBcDeFgHiJkLmNoPqRsTuVwXyZ0123456789aBcDeFgHiJkLmNoPqRsTuVwXyZ»:1:",
    "curl --silent --user bob:«correcthorse» https://x.y",
    "    -u admin:«hunter2» \\",
    "wget --user=bob --ftp-password=«correcthorse» ftp://x.y",
    '["mysql", "-uroot", "-p«hunter2»"]',
    '["sshpass", "-p", "«hunter2»", "ssh", "a@b"]',
    "mariadb -uroot -p'«hunter2»' db",
    "cmd --db.password «swordfish» --verbose",
    "spring.datasource.url=jdbc:mysql://h/db?user=a&password=«swordfish»",
    "s3://AK:«abc123/def456»@bucket/x",
    r'"{\"password\": \"«hunter2»\"}"',
    'password = """«hunter2»"""',
    'let token = r#"«hunter2xyz»"#;',
    "token := `«s3cr3t-t0ken»`",
    "  DB_PASSWORD: «aHVudGVyMg==»",
    "# password: «hunter2x»",
    "new BasicAuth('bob', '«swordfish»')",
    ".auth('bob', '«swordfish»')",
    '.auth(user, "«swordfish»")',
    'auth=["bob", "«swordfish»"]',
    ".basicAuth(process.env.USER, `«hunter2»`)",
    "http://x/?token%3D«hunter2xyz»",
    '<Password encrypted="no">«swordfish»</Password>',
    "<password><![CDATA[«swordfish»]]></password>",
    '{"name": "DB_PASSWORD", "value": "«swordfish»"}',
]
INNOCENT = [
    "-- A user is identified by the name that it logs in with.",
    "token = get_token()",
    "const token = await getToken2();",
    "password: str",
    "token: Token2 = None",
    "token = tokens[0]",
    "token = parse2(line)",
    'auth = ("user", password)',
    "auth=(user, password)",
    "client.auth(user, password)",
    "app.auth('google')",
    "passport.authenticate('jwt', { session: false })",
    'passport.authenticate("local", "redirect")',
    'authenticate("basic", handler)',
    '.login("/login", "POST")',
    "docker run -u 1000:1000 image",
    "docker run --user node:node image",
    "docker run -p 8080:80 mysql",
    "docker run --name mysql -p 3306:3306 -d mysql",
    "chown -R user:group /x",
    "git push -u origin main:main",
    "git fetch -a origin refs/heads/x:refs/heads/y2",
    "ssh -p 2222 host",
    "mkdir -p /var/lib/mysql2",
    "ls -la a:b2",
    "tar -xua foo:bar",
    "mysql -u root -p db",
    "mysql -u root -p$PASS db",
    'mysql -u root -p"$MYSQL_PASSWORD" db',
    "mysql -u root -p${PASS1} db",
    'curl -u "$USER:$PASS" https://x',
    "curl -u user:${TOKEN} https://x",
    "curl -u ${U}:${P} https://x",
    "curl -u $USER https://x:8080",
    'curl -H "X-Api-Key: $API_KEY" x',
    'curl -H "X-Api-Key: ${API_KEY2}" x',
    'curl -H "Authorization: Bearer $(cat t2)"',
    "PASSWORD=$(cat /run/secrets/db2)",
    "export TOKEN=$TOKEN2",
    "TOKEN=`cat token2`",
    'export TOKEN="$(get2)"',
    'TOKEN="${TOKEN:-}"',
    "DB_PASSWORD=${DB_PASSWORD2:-changeme}",
    "PASSWORD=",
    'PASSWORD=""',
    "PASSWORD=changeme",
    "--password is required for this",
    "use --token to pass it",
    "--password-file=/run/x2",
    "--password-stdin",
    'parser.add_argument("--password", help="the password2")',
    'parser.add_argument("--token", "-t2")',
    'parser.add_argument("--api-key", default=None)',
    "--password=<password>",
    "--password=$PASS1",
    "--token=${{ secrets.TOKEN2 }}",
    '--token "$TOKEN1"',
    'redis-cli -a "$REDIS_PASS1"',
    'sshpass -p "$PASS1" ssh x',
    "sshpass -e ssh x",
    'docker login -u x -p "$PASS1"',
    "const token = `${prefix}-${id2}`;",
    "const url = `https://${host}:${port}/x2`;",
    "const token = `Bearer ${t2}`",
    "let password = `${a}`",
    "password = %q(#{pw2})",
    "<password>{value2}</password>",
    "<password></password>",
    "<password>string</password>",
    '<input type="password" name="password2" id="pw2">',
    "<Password value={pw2} onChange={f2} />",
    "<token>$(TOKEN2)</token>",
    '<label for="password2">Password 2</label>',
    "name: password",
    'field: "password2field"',
    '{"name": "token", "value": "${X2}"}',
    "name: TOKEN",
    "  valueFrom: x2",
    "secret: u64",
    "secret: bytes32",
    "token: i32",
    "token: int64",
    "token: varchar255",
    "token = token2",
    "token = self.token2",
    "password = request.form2",
    "password = args.password2",
    "password=pw, user=u2",
    "login(user=user1, password=pw1)",
    "auth: 'oauth2'",
    'auth = "oauth2"',
    'auth = "sha256"',
    '"auth": "bearer"',
    "credentials: 'same-origin'",
    'credentials: "include"',
    'Authorization: Basic realm="x2"',
    "WWW-Authenticate: Basic realm",
    "basic authentication2",
    "bearer token",
    "the basic idea",
    'token = "access_token"',
    'tokenizer = "gpt2tokenizer"',
    'token_count = "12"',
    'token_url = "https://x/y2"',
    '"token": "number2",',
    "max_tokens = 4096",
    "pass: 1",
    "pass = 2",
    '"pass": true',
    'secret_name = "db2"',
    'key = "user1"',
    'primary_key = "id2"',
    'foreign_key="id2"',
    'api_version = "2024-01-01"',
    "?token={token}",
    "?page2=1&key=v",
    "?sort=key2&order=asc",
    'x?access_token=" + token2',
    "https://host:8080/path@v2",
    "https://host/@user2/x",
    "http://127.0.0.1:11434",
    "https://user@host.example/x2",
    "git@github.com:x/y2.git",
    "ssh://git@github.com:22/x",
    "image: registry:5000/a/b@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    "kind: Secret",
    "kind: SecretProviderClass",
    "class sk-fading-circle-container2",
    "AClass = SK",
    'echo "$PASS2" | docker login --password-stdin',
    "echo $PASS | sudo -S ls",
    "echo done2 | tee x",
    "identified by the key2",
    "password '${x}'",
    'The password "must contain 8" characters',
    "// password: at least 8 characters",
    "# token: see docs",
    'raise ValueError("bad password: %s" % pw2)',
    'print(f"password={password}")',
    'logger.info("token=%s", token2)',
    "password == other.password2",
    "if token != expected2:",
    'assert token == "abc"',
    'assertEqual(token, "t1")',
    "env.PASSWORD === undefined",
    "def auth(self, user2): ...",
    ".auth(user2)",
    ".setToken(token2)",
    ".password()",
    '.token("identifier")',
    'getPassword("user")',
    "secretKeyRef: { name: db2, key: password }",
    'passwordField.setText("")',
    "return this.http2.auth(x)",
    'auth.login("admin", user2)',
    "openssl enc -pass env:PASS2",
    "openssl rsa -passin file:/x2",
    "ENV PASSWORD $X2",
    '#define PASSWORD_LABEL "Your password"',
    "#define MAX_TOKENS 4096",
    '#define TOKEN_FILE "/run/token2"',
    "sqlplus / as sysdba",
    "sqlplus scott @scripts/run2.sql",
    'useradd -p "$HASH2" joe',
    "net user joe /delete",
    "the net user count of 2024",
    "net user joe *",
    "DriverManager.getConnection(url, user, password);",
    "new PDO($dsn, $user, $pass2);",
    'connect(host, "bob", timeout2)',
    "Authorization: Bearer ${TOKEN2}",
    "Authorization: required2 for all",
    "Cookie: theme=dark2light",
    "Cookie: session=${SESSION2}",
    "go test -pass 2",
    'btoa("plain2")',
    'Buffer.from("a: b2")',
    "openssl enc -k $KEY2",
    "ssh-keygen -t rsa -N '' -f k2",
    "snmpwalk -v2c -c public host2",
    "vault login -method=ldap2",
    "the net user accounts today",
    "ENV PATH /usr/bin2",
    "requirepass ${X2}",
    "var authorization = req.headers.authorization2",
    "authorization: `Bearer ${token2}`",
    "'Authorization': 'Bearer ' + token2",
    "const {password2} = props",
    'type Token = "a1" | "b2"',
    "enum Token { A1, B2 }",
    "case TOKEN_2: return",
    "TOKEN_URL=https://x2/y",
    "KEY=a2",
    "SORT_KEY=name2",
    'CACHE_KEY="users2"',
    '<Secret name="db2" />',
    "passwordHash = bcrypt.hash(pw2)",
    'csrf_token = "{% csrf_token2 %}"',
    "csrfmiddlewaretoken",
    "token = str(uuid4())",
    "token: uuid4",
    "secret = secrets.token_hex(16)",
    'secret = b""',
    "secret = os.urandom(32)",
    'password = input("Password2: ")',
    "Password = sp.GetRequiredService2",
]

SECRET = "AK" + "IAIOSFODNN7EXAMPLE"
QUERY = "Tr0ub4dor&3x9"
RECOGNISABLE = 5
"""Characters of a secret that must not stand anywhere; a mask shows four."""


def parts(line: str) -> tuple[str, str, str]:
    before, _, rest = line.replace("^", "").partition("«")
    secret, _, after = rest.partition("»")
    return before, secret, after


def leaks(text: str, secret: str = SECRET) -> list[str]:
    """Pieces of the secret that the text holds."""
    pieces = {secret[at : at + RECOGNISABLE] for at in range(len(secret) - RECOGNISABLE + 1)}
    return sorted(piece for piece in pieces if piece in text)


# Where secrets are put


@pytest.mark.parametrize("line", PUT)
def test_a_secret_is_masked_where_it_is_put_and_the_rest_of_the_line_stays(line: str) -> None:
    before, secret, after = parts(line)
    shown = secret[: min(4, len(secret) // 4)]
    once = masked(before + secret + after)
    assert once == before + shown + MASK + after
    assert masked(once) == once


@pytest.mark.parametrize("line", INNOCENT)
def test_what_is_no_secret_stays(line: str) -> None:
    assert masked(line) == line


def test_the_data_of_a_kubernetes_secret_is_masked_whatever_its_name() -> None:
    text = "apiVersion: v1\nkind: Secret\ntype: Opaque\ndata:\n  user: YWRtaW4=\n  other: aHVudGVyMg==\n"
    assert masked(text) == text.replace("YWRtaW4=", f"YW{MASK}").replace("aHVudGVyMg==", f"aHV{MASK}")
    config = text.replace("Secret", "ConfigMap").replace("aHVudGVyMg==", "something")
    assert masked(config) == config


def test_a_long_line_is_masked_to_its_end() -> None:
    """Of a minified file, for one: the secret stands behind more than any pattern reads at once."""
    for length in (0, 399, 1500, 90_000):
        assert not leaks(masked("x=1;" * (length // 4) + f"curl -u admin:{SECRET} y;" + "z=2;" * 100))
        assert QUERY not in masked("x=1;" * (length // 4) + f"const token = `{QUERY}`;" + "z=2;" * 100)


def test_a_secret_longer_than_a_piece_is_masked_whole() -> None:
    secret = "".join(chr(97 + at * 7 % 26) + str(at % 10) for at in range(1000))
    for line in (
        f"password = '{secret}'",
        f"curl -u a:{secret}",
        f"?token={secret}&x=1",
        f"<password>{secret}</password>",
    ):
        assert len(masked(line)) < 60


# Texts are shortened


@pytest.mark.parametrize("name", ["title", "problem"])
@pytest.mark.parametrize("before", ["", "The key is ", 'key = "', "curl -u a:", "postgres://u:", "漢字"])
def test_the_words_of_the_model_end_before_a_secret_that_does_not_fit(name: str, before: str) -> None:
    longest = {"title": parse.LONGEST_TITLE, "problem": parse.LONGEST_MESSAGE}[name]
    for room in range(-1, len(SECRET) + 2):
        lead = "x " * longest
        words = lead[: longest - room - len(before)] + before + SECRET + '" and more'
        item = {"code": "c", "file": "f", "line": 1, "problem": "p", "severity": "major", "title": "t", "type": "bug"}
        (claim,) = parse.parse(json.dumps({"findings": [item | {name: words}]}))
        told = claim.title if name == "title" else claim.problem
        assert len(told) <= longest
        assert not leaks(masked(told))


def test_a_short_text_stays_as_it_is_and_a_long_one_ends_between_words() -> None:
    assert shortened("a b", 3) == "a b"
    assert shortened("one two three", 9) == "one two…"
    assert shortened("one two three", 8) == "one two…"
    assert shortened('say "hunter2hunter2" twice', 14) == 'say "…'
    assert shortened("漢字" * 10, 7) == "漢字漢字漢字…"
    assert shortened("x" * 100, 10) == "…"


def test_a_remedy_that_is_too_long_is_none() -> None:
    item = {"code": "c", "file": "f", "line": 1, "problem": "p", "severity": "major", "title": "t", "type": "bug"}
    (claim,) = parse.parse(json.dumps({"findings": [item | {"fix": "x" * parse.LONGEST_QUOTE + SECRET}]}))
    assert not claim.fix


def test_reasons_and_errors_end_before_a_secret_that_does_not_fit() -> None:
    for room in range(len(SECRET) + 1):
        ruling = verify.parse_ruling(
            json.dumps({"confirmed": False, "evidence": ("y " * 200)[: verify.LONGEST_EVIDENCE - room] + SECRET})
        )
        assert not leaks(masked(ruling.evidence))
        assert not leaks(masked(message_of(json.dumps({"error": ("z " * 200)[: 300 - room] + SECRET}))))


@pytest.mark.parametrize("form", FORMATS)
def test_no_format_cuts_a_secret_before_it_is_masked(form: str) -> None:
    """In each place that a format shows, at each distance from where it cuts."""
    limits = (120, 160, 255, 4096, body.LONGEST_WORDS)
    for room in (1, 9):
        for limit in limits:
            lead = ("w " * limit)[: limit - room]
            words = f"{lead}{SECRET} tail"
            found = finding(1, title=words, message=words, evidence=f"{lead}{SECRET}", reason=words, rule="r")
            refuted = found._replace(status=Status.REFUTED)
            told = outcome([found, refuted], state=State.NOT_REVIEWED, reason=words)
            told.failure, told.notes, told.next_step, told.unremembered = words, [words], words, words
            mask = mask_for(told.findings, is_public=True)
            view = View(published(told, mask), ExitCode.NOT_REVIEWED, mask=mask, verbosity=1)
            assert not leaks(renderer(form)(view))


# A secret that is seen in one place is masked in all


PLACES: dict[str, Callable[[str], dict[str, Any]]] = {
    "title": lambda words: {"title": words},
    "message": lambda words: {"message": words},
    "reason": lambda words: {"reason": words, "status": Status.REFUTED},
    "suggestion": lambda words: {"suggestion": words},
    "title of one that was dismissed": lambda words: {"title": words, "status": Status.DISMISSED},
    "message of one on no line": lambda words: {"message": words, "status": Status.UNANCHORED},
}


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("place", PLACES)
def test_a_secret_of_the_quoted_line_is_masked_in_all_places_of_all_findings(form: str, place: str) -> None:
    """Also where the words alone do not tell that it is one."""
    secret = "correcthorsebatterystaple"
    quoting = finding(1, evidence=f'db_password = "{secret}"')
    naming = finding(2, **PLACES[place](f"The literal {secret} is used, `{secret}`."))
    told = outcome([quoting, naming])
    told.notes = [f"{secret} is told"]
    mask = mask_for(told.findings, is_public=True)
    report = renderer(form)(View(published(told, mask), ExitCode.BLOCKED, mask=mask, verbosity=1))
    assert secret not in report


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f'key = "{SECRET}"', "the key `" + SECRET[:10] + "…`"),
        (f'key = "{SECRET}"', "the key " + SECRET[:9] + "..."),
        (f'key = "{SECRET}"', "the key …" + SECRET[8:]),
        (f'key = "{SECRET}"', f"x_{SECRET}_y"),
        ('url = "https://bob:p%40ss%21word9@host"', "the password p@ss!word9"),
        ('password = "Sup3rS3cret!x9"', "?p=Sup3rS3cret%21x9"),
        ("Authorization: Basic Ym9iOlN1cDNyUzNjcmV0", "the password Sup3rS3cret of bob"),
        ("  password: Sm9obk4wZXM5OQ==", "it is JohnN0es99"),
        ('"{\\"password\\": \\"a\\\\b3cdefgh\\"}"', "it is a\\b3cdefgh"),
    ],
)
def test_a_secret_that_was_seen_is_known_in_part_and_in_another_form(line: str, words: str) -> None:
    once = masked(words, seen_in([line]))
    assert once != words
    assert MASK in once


def test_words_that_only_resemble_a_secret_stay() -> None:
    seen = seen_in(['password = "swordfish"', 'db_password = "postgres2024"', f'key = "{SECRET}"'])
    for words in ("swordfishes are fish", "in postgres, of 2024", "AKIA is how such a key begins", "the MASSWORDFISH"):
        assert masked(words, seen) == words


def test_a_secret_that_begins_like_another_one_hides_neither() -> None:
    seen = Repeated(["hunter2x", "hunter2xyz" * 9, "hunter2"])
    for words in ("hunter2", "hunter2x", "hunter2xyz" * 9, "hunter2xyzhun"):
        assert not [words[start:end] for start, end in [*seen.found(words)] if end - start < len(words)]
        assert [*seen.found(words)]


# The program


@pytest.fixture
def run(repo: Repo, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the program in `repo` and in this process."""
    monkeypatch.chdir(repo.path)
    return partial(run_here, capsysbinary)


def leak(repo: Repo, kilo: Runner, division: dict[str, Any], **words: str) -> tuple[str, ...]:
    """A change with a secret in its second line, and a model that speaks of its first."""
    repo.stage("app.py", f'name = "x"\npassword = "{QUERY}"\n')
    said = division | {"code": 'name = "x"', "line": 1, "problem": "It is wrong."} | words
    return kilo.scripted({"findings": [said]})


@pytest.mark.parametrize("form", FORMATS)
def test_a_secret_of_another_line_is_masked_in_the_words_of_the_model(
    repo: Repo, kilo: Runner, run: Run, division: dict[str, Any], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    title = f"The value {QUERY} is wrong"
    done = run(*leak(repo, kilo, division, title=title, problem=title), "--format", form)
    assert not leaks(done.text + done.talk, QUERY)
    assert "masked" in done.text


def test_at_home_the_words_stay_as_they_are(repo: Repo, kilo: Runner, run: Run, division: dict[str, Any]) -> None:
    assert QUERY in run(*leak(repo, kilo, division, title=f"{QUERY} is wrong")).text


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_is_shown_beside_reviews_is_masked_in_ci(
    repo: Repo, kilo: Runner, run: Run, division: dict[str, Any], form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    options = leak(repo, kilo, division, title=f"curl -u bob:{QUERY}")
    shown = run(*options, "--show-prompt", "--format", form)
    run(*options)
    repo.commit(f"curl -u bob:{QUERY}")
    status = run("status", "--format", form)
    for done in (shown, status):
        assert not leaks(done.text + done.talk, QUERY)
        assert "masked" in done.text
        if form == "json":
            json.loads(done.text)


def test_what_is_said_on_standard_error_is_masked_in_ci(
    repo: Repo, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(repo.path)
    for variable, is_shown in (("0", True), ("true", False)):
        monkeypatch.setenv("CI", variable)
        assert main([f"https://bob:{QUERY}@host/x"]) == ExitCode.USAGE
        assert (QUERY in capsys.readouterr().err) == is_shown


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"CI": "1"}, True),
        ({"CI": "false", "TF_BUILD": "True"}, False),
        ({"TF_BUILD": "True"}, True),
        ({"JENKINS_URL": "http://127.0.0.1"}, True),
    ],
)
def test_systems_that_do_not_set_ci_are_known(variables: dict[str, str], expected: bool) -> None:
    assert is_ci(variables) is expected


# Addresses


@pytest.mark.parametrize(
    "url",
    [
        "http://bob:hunter2@127.0.0.1:1/v1",
        "ftp://bob:hunter2@127.0.0.1/v1",
        "http://bob:hunter2@ho st/v1",
        "http://bob:hunter2@127.0.0.1/?x=1",
        "http://hunter2@127.0.0.1:99999/",
        "http://bob:hunter2@[::1/",
        "bob:hunter2@host",
    ],
)
def test_an_address_is_refused_without_its_credentials(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        endpoint(url)
    assert "hunter2" not in str(refused.value)


def test_an_address_without_credentials_stays() -> None:
    assert without_credentials("http://127.0.0.1:1/a@b") == "http://127.0.0.1:1/a@b"
    assert without_credentials("http://a:b@h/x and https://t@h") == "http://***@h/x and https://***@h"


# Time


UNITS = [
    "curl -u ", "curl -u a:", "-u", "--a-password ", "--password ", "mysql -p", "://a:", "PASSWORD_", "PASSWORD=", "echo a |",
    "<password ", "<password>", "?token=", "name: token ", "auth('a',", "login('a',", "token = %q(", "identified with a by '",
    "kind: Secret\n  a: ab\n", "$2a$", "eyJ.", "sk-", "AC0123456789abcdef0123456789abcdef", "token: a|", "\\'", "a@", "…AKIA",
]  # fmt: skip


@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_the_text_and_no_faster(unit: str) -> None:
    """Four times the text takes about four times the work of this process; it would be sixteen by the square."""
    seen = seen_in([f'key = "{SECRET}"'])

    def work(size: int) -> float:
        text = (unit * (size // len(unit) + 1))[:size]
        begun = time.process_time()
        masked(text, seen)
        return time.process_time() - begun

    small = min(work(6_000) for _ in range(3))
    assert min(work(24_000) for _ in range(2)) < 9 * max(small, 0.01)
