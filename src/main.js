// This file is JavaScript, so that a Node version without TypeScript support can still print an error.
import './installation.js';

const { main } = await import('./main.ts');
await main();
