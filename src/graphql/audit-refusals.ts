import type { GraphQLObjectType } from 'graphql';
import { DomainError, type ErrorCode } from '../domain/errors.ts';
import type { Context } from './context.ts';
import type { ClusterByInput } from './types/cluster-queries.ts';
import { clusterBy } from './types/cluster-queries.ts';

/** What each mutation is called in the audit log; a new one needs a line. */
export const AUDITED: Readonly<Record<string, string>> = {
  createCluster: 'cluster.create',
  updateCluster: 'cluster.update',
  deleteCluster: 'cluster.delete',
  importClusters: 'cluster.import',
  testClusterConnection: 'cluster.test',
  probeCluster: 'cluster.probe',
  confirmClusterIdentity: 'cluster.confirm-identity',
  createUser: 'user.create',
  updateUser: 'user.update',
  deleteUser: 'user.delete',
  changePassword: 'user.change-password',
  defineRole: 'role.define',
  deleteRole: 'role.delete',
  createApiKey: 'api-key.create',
  revokeApiKey: 'api-key.revoke',
};

type By = typeof ClusterByInput.$inferInput;

/** What is recorded of mutations that are refused: what somebody tried who may not, and not their mistakes. */
const RECORDED: ReadonlySet<string> = new Set<ErrorCode>(['FORBIDDEN', 'LAST_ADMIN', 'TOO_MANY_ATTEMPTS']);

/** Lets each mutation that is refused leave its record: what succeeds leaves its own in the transaction of the change. */
export function auditRefusals(mutations: GraphQLObjectType): void {
  for (const [name, field] of Object.entries(mutations.getFields())) {
    const { resolve } = field;
    const action = AUDITED[name];
    if (!resolve || !action) throw new Error(`the mutation ${name} has no name in the audit log`);
    field.resolve = async (root, args: { input?: { by?: By; cluster?: By } }, context: Context, info) => {
      const tell = async (outcome = '') => {
        if (!RECORDED.has(outcome)) return;
        const given = args.input?.by ?? args.input?.cluster;
        const by = given ? clusterBy(given) : undefined;
        await context.auditLog.refused(context.caller, { action, outcome, by });
      };
      try {
        const result = (await resolve(root, args, context, info)) as { code?: string } | null;
        await tell(result?.code);
        return result;
      } catch (error) {
        if (error instanceof DomainError) await tell(error.code);
        throw error;
      }
    };
  }
}
