import type { GraphQLObjectType } from 'graphql';
import { DomainError, type ErrorCode } from '../domain/errors.ts';
import type { Context } from './context.ts';
import type { ClusterByInput } from './types/cluster-queries.ts';
import { clusterBy } from './types/cluster-queries.ts';

/** The audit action of each mutation. Every mutation needs an entry; the schema fails to build without one. */
export const MUTATION_ACTIONS: Readonly<Record<string, string>> = {
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

/** Error codes that are recorded in the audit log: attempts without permission, but not mistakes in the input. */
const RECORDED_CODES: ReadonlySet<string> = new Set<ErrorCode>(['FORBIDDEN', 'LAST_ADMIN', 'TOO_MANY_ATTEMPTS']);

/**
 * Wraps the resolver of each mutation so that a refusal is recorded in the audit log. A mutation that succeeds writes
 * its own record, in the transaction of the change.
 */
export function auditRefusals(mutations: GraphQLObjectType): void {
  for (const [name, field] of Object.entries(mutations.getFields())) {
    const { resolve } = field;
    const action = MUTATION_ACTIONS[name];
    if (!resolve || !action) throw new Error(`the mutation ${name} has no audit action: add it to MUTATION_ACTIONS`);
    field.resolve = async (root, args: { input?: { by?: By; cluster?: By } }, context: Context, info) => {
      const recordRefusal = async (outcome = '') => {
        if (!RECORDED_CODES.has(outcome)) return;
        const clusterInput = args.input?.by ?? args.input?.cluster;
        const by = clusterInput ? clusterBy(clusterInput) : undefined;
        await context.auditLog.recordRefusal(context.caller, { action, outcome, by });
      };
      try {
        const result = (await resolve(root, args, context, info)) as { code?: string } | null;
        await recordRefusal(result?.code);
        return result;
      } catch (error) {
        if (error instanceof DomainError) await recordRefusal(error.code);
        throw error;
      }
    };
  }
}
