"""What a change, a repository or a model may say to those who show it."""

from __future__ import annotations

from hypothesis import strategies as st

PIECES = """
@ @user @org/team a@b.co mailto: # #1 !1 &1 $1 $ $$ % ~ ~bug ^alert#1 GH-1 gh- JIRA-12 org/repo#1 deadbeef 1234567
0123456789abcdef feedback www. http:// https://x.y ftp://x //x.y :// / // : :smile: :: :+1: /close /shrug
* ** _ __ ~~ ` `` ``` ~~~ \\ \\\\ [ ] ]( ![ [x] [^1] [[x]] [a](http://x.y) ![a](http://x.y) < > <b> </b> <!-- --> <script>
<http://x.y> & &amp; &#64; &lt; ; " ' | > >>> --- *** === { } {#a .b} {+ +} [- -] %{x} ( ) . - = ! suggestion word a 0 x
::error::x ##[error]x ##vso[task.complete] ##teamcity[x] ## %0A %25 ,
"""
SPACED = (
    "fixes #1",
    "[ ]",
    "<img src=x onerror=y>",
    "[a]: http://x.y",
    "| - |",
    "- ",
    "+ ",
    "* ",
    "1. ",
    "2) ",
    "# ",
    "- [ ] ",
)
INVISIBLE = (
    "\n|\n\n|\r\n|\r| |  |    |\t|\u00a0|\0|\x1b[31m|\x9b|\u202e|\u200b|\u2028|\ufeff|\u3164|section_start:1:x\r\x1b[0K"
)
FOREIGN = "é|ﬃ|\U0001f600|\u2764\ufe0f|\udc80|\ud83d|\u0661|中|\uff11"

TEXT = st.one_of(
    st.lists(st.sampled_from([*PIECES.split(), *SPACED, *INVISIBLE.split("|"), *FOREIGN.split("|")]), max_size=12).map(
        "".join
    ),
    st.text(max_size=40),
)

MARKDOWN = r"""
*a* _b_ **c** __d__ ~e~ ~~f~~
_a_@user
# a
---
***
===
- a
+ a
* a
1. a
1) a
123456789. a
- [ ] a
[x] a
[ ] a
> a
>>>
> [!NOTE]
| a | b |
:-:
--|--
a | b
```sh
~~~
`a` ``b``
`
\
a\
\@user
<b>a</b>
<!-- a
-->
<script>alert(1)</script>
<img src=x onerror=alert(1)>
<a href=x>
<details>
<?x
<![CDATA[
<!DOCTYPE x>
[a](javascript:x)
![a](http://x.y/p.png)
[a][b]
[a]: http://x.y
[^1]
[^1]: a
[[a|b]]
<http://x.y>
<a@b.co>
http://x.y
HTTPS://x.y/?a=b&c=d#e
ftp://x.y
smb://x/y
//x.y/z
www.x.y
WWW.x.y
a@b.co
a@ü.co
mailto:a@b.co
xmpp:a@b.co/c
@user
(@user)
@org/team,
@all
a@user
@-x
@0
@é
#1
(#1)
'#1'
org/repo#1
!1
&1
$1
~bug
~"a b"
%1.0
%"a b"
%{project_id}
^alert#1
GH-1
gh-1
JIRA-1
JIRA2-1
JIRA_-1
fixes #1
Closes: #1
resolves org/repo#1
deadbeef
DEADBEEF
1234567
4b825dc642cb6eb9a060e54bf8d69288fbee4904
a...deadbeef0
org/repo@deadbeef
:smile:
:+1:
:a:b:c:
12:30:45
a::b::c
/close
/close a
/shrug
$a$
$$a$$
$`a`$
{+ a +}
[- a -]
: a
&amp; &lt; &#64;user &commat;user &colon;
*[HTML]: x
==a==
^a^
!!! note
(c) a(b) 'a' "a" -- ...
[TOC]
{{ x }}
a {#b .c}
a {onclick="b"}
!important
"""
"""Each line is foreign text of its own."""

LINES = (
    "a\n===",
    "a\n---",
    "| a | b |\n|---|---|\n| c | d |",
    "    code",
    "\tcode",
    "```sh\nrm\n```",
    "a\n: b",
    "---\na: b\n---",
)
SPACES = (
    "a\r\nb",
    "a\u2028b",
    "\u202eb",
    "@\u200buser",
    "#\u00ad1",
    "a  b",
    " a ",
    "  /close",
    "\u00a0",
    "",
    "\u2764\ufe0f",
    "\udcff",
)
ALL_MARKDOWN = (*filter(None, MARKDOWN.split("\n")), *LINES, *SPACES)
