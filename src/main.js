// JavaScript, so that a Node too old for TypeScript still says what is wrong.
import './installation.js';

const { main } = await import('./main.ts');
await main();
