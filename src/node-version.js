// This file is JavaScript, because a Node version without TypeScript support must be able to run it.

/** The first version of Node that has `crypto.argon2`, which hashes passwords. */
const MINIMUM = [24, 7];

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) {
  console.error(
    `Kitestring needs Node ${MINIMUM.join('.')} or newer, but this is ${process.version}: use npm start or npm run, which find the Node that npm ci installs. If npm ci ran with --omit=optional, or has no Node for this platform, install Node yourself.`,
  );
  process.exit(1);
}
