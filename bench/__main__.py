"""Every bench, one after the other: `make bench`. Ends with what was kept, and how long each took."""

from __future__ import annotations

import json
import subprocess
import sys
import time

from bench import RESULTS, ROOT


def main() -> int:
    names = sorted(path.stem for path in (ROOT / "bench").glob("[!_]*.py"))
    failed = []
    for name in names:
        print(f"== {name}", flush=True)
        began = time.monotonic()
        out = RESULTS / f"{name}.json"
        out.unlink(missing_ok=True)
        done = subprocess.run([sys.executable, "-m", f"bench.{name}"], cwd=ROOT, check=False)
        print(f"   {time.monotonic() - began:.0f} s", flush=True)
        claims = json.loads(out.read_text())["claims"] if out.exists() else []
        failed += [f"{name}: {claim['name']}" for claim in claims if not claim["kept"]]
        if done.returncode:
            failed.append(f"{name}: ended with {done.returncode}")
    print("\n".join(["== not kept", *failed]) if failed else "== every promise was kept")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
