"""Prints, for a shell, which of a machine's pip settings count when a lock is installed; reads `pip config list`.

Those that say where packages are, and how they are reached, count. All others (a constraint, a folder to install to, a
format, …) are put aside: they would have pip look at something beside the lock.
"""

import ast
import os
import re
import shlex
import sys

KEPT = {
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "proxy", "cert", "client-cert",
    "keyring-provider", "timeout", "default-timeout", "retries", "cache-dir", "no-cache-dir", "use-feature",
    "use-deprecated",
}  # fmt: skip
SECTIONS = ("global", "install", ":env:")  # a later one overrules those before

found = re.findall(r"^(global|install|:env:)\.([\w-]+)=(['\"].*['\"])$", sys.stdin.read(), re.MULTILINE)
for name in os.environ:
    if name.startswith("PIP_"):
        print("unset", name)
for _, key, value in sorted(found, key=lambda setting: SECTIONS.index(setting[0])):
    if key in KEPT and ast.literal_eval(value):
        print("export", f"PIP_{key.upper().replace('-', '_')}={shlex.quote(ast.literal_eval(value))}")
print("export PIP_CONFIG_FILE=/dev/null")
