// JavaScript, so that a Node too old for TypeScript still says what is wrong.
import module from 'node:module';
import { fileURLToPath } from 'node:url';

const MINIMUM = 24;

if (Number(process.versions.node.split('.')[0]) < MINIMUM) {
  console.error(
    `Kitestring needs Node ${MINIMUM} or newer and this is ${process.version}: use npm start, which brings its own.`,
  );
  process.exit(1);
}
// Before anything else is loaded: with it a start takes two thirds of the time. Not in /tmp, where others may write.
module.enableCompileCache(fileURLToPath(new URL('../node_modules/.cache/kitestring', import.meta.url)));
const { main } = await import('./main.ts');
await main();
