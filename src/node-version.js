// JavaScript, because a Node too old for TypeScript must be able to run it.

/** The first version of Node that has `crypto.argon2`, which hashes passwords. */
const MINIMUM = [24, 7];

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < MINIMUM[0] || (major === MINIMUM[0] && minor < MINIMUM[1])) {
  console.error(
    `Kitestring needs Node ${MINIMUM.join('.')} or newer and this is ${process.version}: use npm start and npm run, which find the Node that npm ci installs, or install that Node where npm ci has none for the platform or ran with --omit=optional.`,
  );
  process.exit(1);
}
