import { text } from 'node:stream/consumers';
import { UsageError } from './command.ts';

/** Reads a password: without echo from a terminal, else the first line of stdin. It is never an argument: others see those. */
export async function readPassword(): Promise<string> {
  const { stdin } = process;
  const given = stdin.isTTY ? await ask() : ((await text(stdin)).split(/\r?\n/)[0] ?? '');
  if (given === '') throw new UsageError('Give the password on stdin, or --generate one.');
  return given;
}

function ask(): Promise<string> {
  const { stdin, stderr } = process;
  stderr.write('Password: ');
  stdin.setRawMode(true).setEncoding('utf8').resume();
  return new Promise((resolve, reject) => {
    let typed = '';
    const end = (finish: () => void) => {
      stdin.off('data', take).setRawMode(false).pause();
      stderr.write('\n');
      finish();
    };
    const take = (keys: string) => {
      for (const key of keys) {
        if (key === '\r' || key === '\n' || key === '\u0004') return end(() => resolve(typed));
        if (key === '\u0003') return end(() => reject(new UsageError('No password was given.')));
        typed = key === '\u007f' || key === '\b' ? [...typed].slice(0, -1).join('') : typed + key;
      }
    };
    stdin.on('data', take);
  });
}
