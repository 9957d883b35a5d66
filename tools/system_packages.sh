#!/usr/bin/env bash
# Tests need a Chromium and a PostgreSQL server. Install them where we may; elsewhere say so, and their tests skip.
set -u
missing=()
command -v chromium >/dev/null || missing+=(chromium)
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -eq 0 ]; then as=(); elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then as=(sudo -n); else as=(false); fi
if command -v apt-get >/dev/null && [ "${as[*]-}" != false ]; then
  echo "[system] installing ${missing[*]}" >&2
  "${as[@]}" apt-get update -qq >/dev/null 2>&1
  DEBIAN_FRONTEND=noninteractive "${as[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 && exit 0
fi
echo "[system] ${missing[*]} not installed and not installable here: the tests that need them will skip" >&2
exit 0
