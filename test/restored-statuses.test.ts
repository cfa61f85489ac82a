import { expect, it } from 'vitest';
import { resetRestoredStatuses } from '../src/domain/cluster-status.ts';
import { clusterRow } from './support/cluster-row.ts';
import { freshApp } from './support/wire.ts';

it('after a restore, every cluster that is probed is PENDING again, also one whose kubeconfig could not be decrypted', async () => {
  const { database } = (await freshApp()).domain;
  const rows = [
    { name: 'ready', state: 'READY' },
    { name: 'undecryptable', state: 'UNUSABLE', faultCode: 'CREDENTIAL_UNUSABLE', faultMessage: 'lost key' },
    { name: 'unusable', state: 'UNUSABLE', credentialProblem: 'no token' },
    { name: 'disabled', state: 'DISABLED', enabled: false },
  ];
  await database.write('registry', (tx) =>
    tx.cluster.createMany({ data: rows.map(({ name, ...row }) => ({ ...clusterRow(name), ...row })) as never }),
  );
  await database.write('status', (tx) => resetRestoredStatuses(tx, new Date()));
  const found = await database.prisma.cluster.findMany({ select: { name: true, state: true, faultMessage: true } });
  expect(Object.fromEntries(found.map(({ name, state, faultMessage }) => [name, [state, faultMessage]]))).toEqual({
    ready: ['PENDING', null],
    undecryptable: ['PENDING', null],
    unusable: ['UNUSABLE', null],
    disabled: ['DISABLED', null],
  });
});
