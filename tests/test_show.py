import importlib, os, pytest
from tests.reliability import *
rows=[]
for n in os.environ["SHOW"].split(","):
    rows+=importlib.import_module("tests."+n).ROWS
@pytest.mark.parametrize(("row","wire"),cases(rows))
def test_show(row,wire,repo,program,monkeypatch,capsys):
    row.change(repo)
    try: told,server=run(row,wire,program,monkeypatch)
    except AssertionError as e: told=None; err=e
    with capsys.disabled():
        print(f"\n## {row.key}-{wire.provider}")
        if not told: print("ASSERT",str(err)[:300]); return
        print(told.code,told.outcome.word,len(server.asked(wire.chat)),[round(w,1) for w in told.waits],server.left,f"{told.seconds:.2f}")
        print(told.text.strip()[:1200])
