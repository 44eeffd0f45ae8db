#!/usr/bin/env bash
# The documentation says what is so: links, quoted messages, options, job keys, events and message fields.
. "$(dirname "$0")/common.sh"
programs=$(dirname "$(command -v muster)")
say "README.md and docs/ against the sources and --help"
expect 0 'pages agree with the sources' python3 "$here/docs_check.py" "$MUSTER_SOURCE" "$programs"

say "and what is not so is found"
mkdir copy
for part in README.md docs bench common proto cluster coordinator worker; do
  cp -r "$MUSTER_SOURCE/$part" copy/
done
printf '\n**`no message of this program is like this one`**\n' >>copy/docs/troubleshooting.md
printf '\n[gone](gone.md) and [gone](faults.md#no-such-heading), `muster report RUN --wacth`, `train.learning`\n' >>copy/docs/cluster.md
sed -i 's/^| `group_died` |/| `group_dead` |/' copy/docs/formats.md
sed -i 's/`best_weights`/`weights`/' copy/docs/protocol.md
seq 150 >>copy/README.md
expect 1 'README.md: [0-9]+ lines' python3 "$here/docs_check.py" copy "$programs"
for words in 'no message of the sources is like `no message' 'the link gone.md leads nowhere' 'faults.md#no-such-heading: no such heading' \
  'muster report has no option --wacth' 'train.learning is no key of a job' 'the event group_died is not described' \
  'the field best_weights is not described'; do
  grep -qF "$words" "$scratch/out" || fail "docs_check.py does not find: $words"
done
