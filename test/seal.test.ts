import { randomBytes } from 'node:crypto';
import { chmod, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { loadKeyRing } from '../src/storage/key-file.ts';
import { Seal, SealError, type SealedPlace, sealKey } from '../src/storage/seal.ts';
import { StartupError } from '../src/storage/startup-error.ts';
import { inAnotherProcess, temporaryDirectory } from './support/directory.ts';

const place: SealedPlace = {
  table: 'ClusterCredential',
  column: 'sealed',
  uid: '0193a5d2-7b1c-7e3f-8a55-1f2e3d4c5b6a',
};
const newKey = () => sealKey(randomBytes(32));

function refusal(open: () => unknown): SealError {
  try {
    open();
  } catch (error) {
    if (error instanceof SealError) return error;
    throw error;
  }
  throw new Error('it opened');
}

describe('a sealed value', () => {
  const seal = new Seal([newKey()]);

  it('a sealed value opens to its plaintext, and sealing twice gives different texts', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 500 }), (text) => {
        const sealed = seal.seal(text, place);
        expect(sealed).toMatch(/^k1\.[\w-]{8}\.[\w-]+$/);
        expect(seal.open(sealed, place)).toBe(text);
        expect(seal.seal(text, place)).not.toBe(sealed);
      }),
    );
  });

  it('a sealed value does not open in another table, column or row, and the error names the place', () => {
    const sealed = seal.seal('apiVersion: v1', place);
    for (const other of [{ table: 'User' }, { column: 'keyId' }, { uid: 'another' }]) {
      const error = refusal(() => seal.open(sealed, { ...place, ...other }));
      expect(error.code).toBe('TAMPERED');
      expect(error.message).toContain(Object.values(other)[0]);
      expect(error.message).not.toContain('apiVersion');
    }
  });

  it('a sealed value distinguishes the parts of its place', () => {
    const sealed = seal.seal('x', { table: 'a', column: 'bc', uid: 'd' });
    expect(refusal(() => seal.open(sealed, { table: 'ab', column: 'c', uid: 'd' })).code).toBe('TAMPERED');
  });

  it('a sealed value does not open when any character is changed or when it is truncated', () => {
    const sealed = seal.seal('a kubeconfig with a token', place);
    fc.assert(
      fc.property(fc.nat(sealed.length - 1), fc.constantFrom(...'Aa0-_.='), (index, character) => {
        fc.pre(sealed[index] !== character);
        const changed = sealed.slice(0, index) + character + sealed.slice(index + 1);
        expect(refusal(() => seal.open(changed, place)).message).toContain(place.uid);
        expect(refusal(() => seal.open(sealed.slice(0, index), place)).message).toContain(place.uid);
      }),
    );
  });

  it('a sealed value names the key that it needs if the ring lacks it', () => {
    const sealed = seal.seal('x', place);
    const error = refusal(() => new Seal([newKey()]).open(sealed, place));
    expect(error.code).toBe('UNKNOWN_KEY');
    expect(error.message).toContain(seal.keyIds[0]);
  });

  it('a sealed value does not open under the id of another key', () => {
    const both = new Seal([newKey(), newKey()]);
    const [first = '', second = ''] = both.keyIds;
    expect(refusal(() => both.open(both.seal('x', place).replace(first, second), place)).code).toBe('TAMPERED');
  });

  it('a value is sealed with the first key of the ring and opened with any of them', () => {
    const [older, newer] = [newKey(), newKey()];
    const sealed = new Seal([older]).seal('kept', place);
    const rotated = new Seal([newer, older]);
    expect(rotated.open(sealed, place)).toBe('kept');
    expect(rotated.seal('x', place).split('.')[1]).toBe(newer.id);
  });
});

describe('the key ring', () => {
  const nothingSealed = async () => [] as string[];

  it('the key ring is created at the first start, readable only by its owner, and read at the next', async () => {
    const file = join(await temporaryDirectory(), 'data', 'seal.key');
    const made = await loadKeyRing({ file, sealedKeyIds: nothingSealed });
    expect(made).toMatchObject({ source: 'new file' });
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const read = await loadKeyRing({ file, sealedKeyIds: async () => made.keys.map(({ id }) => id) });
    expect(read).toMatchObject({ keys: made.keys, source: 'file' });
  });

  it('concurrent first starts create one key ring', async () => {
    const directory = await temporaryDirectory();
    const file = join(directory, 'seal.key');
    const here = Array.from({ length: 8 }, () => loadKeyRing({ file, sealedKeyIds: nothingSealed }));
    const elsewhere = Array.from({ length: 3 }, () => inAnotherProcess('key', directory));
    const ids = (await Promise.all(here)).map(({ keys }) => keys[0]?.id);
    expect(new Set([...ids, ...(await Promise.all(elsewhere))]).size).toBe(1);
    expect(await readdir(directory)).toEqual(['seal.key']);
  });

  it('a key ring is never created when sealed data exists', async () => {
    const directory = await temporaryDirectory();
    const loading = loadKeyRing({ file: join(directory, 'seal.key'), sealedKeyIds: async () => ['AbCdEfGh'] });
    await expect(loading).rejects.toThrow(/AbCdEfGh.*seal\.key is missing/);
    await expect(loading).rejects.toBeInstanceOf(StartupError);
    expect(await readdir(directory)).toEqual([]);
  });

  it('a key ring that cannot open all sealed values is refused', async () => {
    const encodedKey = randomBytes(32).toString('base64');
    const loading = loadKeyRing({ configured: encodedKey, sealedKeyIds: async () => ['AbCdEfGh'] });
    await expect(loading).rejects.toThrow(/AbCdEfGh.*SEAL_KEY does not have/);
  });

  it('the key ring accepts the same key in base64, base64url and hex, and several separated by commas', async () => {
    const secret = randomBytes(32);
    const id = sealKey(secret).id;
    for (const encoding of ['base64', 'base64url', 'hex'] as const) {
      const ring = await loadKeyRing({
        configured: `${secret.toString(encoding)}, ${randomBytes(32).toString('hex')}`,
        sealedKeyIds: nothingSealed,
      });
      expect(ring).toMatchObject({ source: 'configuration', keys: [{ id }, {}] });
    }
  });

  it('an invalid key is refused without being repeated', async () => {
    const loading = loadKeyRing({ configured: 'hunter2-hunter2', sealedKeyIds: nothingSealed });
    await expect(loading).rejects.toThrow(StartupError);
    await expect(loading).rejects.not.toThrow(/hunter2/);
    await expect(loadKeyRing({ sealedKeyIds: nothingSealed })).rejects.toThrow(/SEAL_KEY/);
  });

  it.each([
    ['text', Buffer.from('correct horse battery staple 123')],
    ['a few repeated bytes', Buffer.alloc(32, randomBytes(15))],
  ])(
    'the key ring warns if the key that seals is %s instead of random bytes, without repeating it',
    async (_, weak) => {
      const warningOf = async (...keys: Buffer[]) => {
        const given = keys.map((key) => key.toString('base64')).join(',');
        return (await loadKeyRing({ configured: given, sealedKeyIds: nothingSealed })).warning;
      };
      expect(await warningOf(weak)).toMatch(/^The first key of SEAL_KEY is not random/);
      expect(await warningOf(weak)).not.toContain(weak.toString('base64'));
      expect(await warningOf(randomBytes(32), weak)).toBeUndefined();
    },
  );

  it('the key ring reads a file of several keys with comments, and warns when other users can read it', async () => {
    const file = join(await temporaryDirectory(), 'seal.key');
    const [first, second] = [randomBytes(32), randomBytes(32)];
    await writeFile(file, `# ours\n${first.toString('base64url')} # since May\r\n\n${second.toString('base64')}\n`);
    await chmod(file, 0o640);
    const ring = await loadKeyRing({ file, sealedKeyIds: nothingSealed });
    expect(ring.keys.map(({ id }) => id)).toEqual([sealKey(first).id, sealKey(second).id]);
    expect(ring.warning).toContain('640');
    expect(await readFile(file, 'utf8')).toContain('# ours');
  });

  it('an empty key file is refused, and no key is created', async () => {
    const file = join(await temporaryDirectory(), 'seal.key');
    await writeFile(file, '# nothing\n');
    await expect(loadKeyRing({ file, sealedKeyIds: nothingSealed })).rejects.toThrow(/contains no key/);
  });
});
