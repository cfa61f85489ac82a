import { text } from 'node:stream/consumers';
import { UsageError } from './command.ts';

/**
 * Reads a password: without echo if stdin is a terminal, otherwise the first line of stdin. A password is never an
 * argument, because other users of the machine can see arguments.
 */
export async function readPassword(): Promise<string> {
  const { stdin } = process;
  const password = stdin.isTTY ? await prompt() : ((await text(stdin)).split(/\r?\n/)[0] ?? '');
  if (password === '') throw new UsageError('The password is empty: send it on stdin, or use --generate.');
  return password;
}

function prompt(): Promise<string> {
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
        if (key === '\u0003') return end(() => reject(new UsageError('The password prompt was cancelled.')));
        typed = key === '\u007f' || key === '\b' ? [...typed].slice(0, -1).join('') : typed + key;
      }
    };
    stdin.on('data', take);
  });
}
