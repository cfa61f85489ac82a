#!/bin/sh
# The shell of npm's scripts (`script-shell` in .npmrc). An npm that skips the Node of the other platforms may remove the
# link to the Node of this one with them, as npm 10 does: it is put back here, where npm has it first on the PATH.
for node in node_modules/node-linux-*/bin/node node_modules/node-*darwin-*/bin/node; do
  [ -x "$node" ] && [ ! -e node_modules/.bin/node ] && ln -sf "../${node#node_modules/}" node_modules/.bin/node
done
exec /bin/sh "$@"
