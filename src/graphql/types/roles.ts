import { ACTIONS, type Action, actionName } from '../../domain/access/action.ts';
import type { ClusterScope } from '../../domain/accounts/role.ts';
import { builder } from '../builder.ts';
import { type EstimateWork, STEPS_OF_ROW } from '../work.ts';
import { NotFoundError } from './errors.ts';
import { addMutation } from './mutation.ts';

interface RoleRow {
  name: string;
  description: string;
  builtIn: boolean;
  actions: readonly Action[];
  clusters: ClusterScope | null;
}

const DESCRIPTIONS: Readonly<Record<Action, string>> = {
  'clusters.read': 'Read clusters: in lists, in change streams and one by one.',
  'clusters.live': 'Read live data from a cluster, with the credential that Kitestring stores for it.',
  'clusters.create': 'Register clusters.',
  'clusters.update': 'Update clusters.',
  'clusters.delete': 'Delete clusters.',
  'clusters.import': 'Import clusters from a kubeconfig.',
  'clusters.in-cluster': 'Let a cluster connection use the service account of Kitestring’s own pod.',
  'access.manage': 'Manage users, roles and API keys that allow no more than the viewer’s own permissions.',
  'audit.read': 'Read the audit log.',
  'metrics.read': 'Read the metrics.',
  'rest.use': 'Use the REST routes of the registry.',
};

/** The actions under their GraphQL enum names: `clusters.in-cluster` is CLUSTERS_IN_CLUSTER. */
export const ActionEnum = builder.enumType('Action', {
  description: 'An action that a role can allow. More actions may be added.',
  values: Object.fromEntries(
    ACTIONS.map((action) => [actionName(action), { value: action, description: DESCRIPTIONS[action] }]),
  ) as Record<string, { value: Action; description: string }>,
});

const RoleScope = builder.objectRef<ClusterScope>('RoleScope').implement({
  description: 'The clusters to which a role applies: all clusters that match one of the names or the label selector.',
  fields: (t) => ({
    names: t.expose('names', {
      type: ['String'],
      description: 'Cluster names. `*` matches any number of characters and `?` matches one.',
    }),
    labelSelector: t.string({
      nullable: true,
      description: 'A Kubernetes label selector that matches clusters; null if the role selects by name only.',
      resolve: ({ labelSelector }) => labelSelector ?? null,
    }),
  }),
});

const Role = builder.objectRef<RoleRow>('Role').implement({
  description: 'A set of allowed actions and the clusters to which they apply.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'The name of the role.' }),
    description: t.exposeString('description', {
      description: 'The description of the role; the empty string if there is none.',
    }),
    builtIn: t.exposeBoolean('builtIn', {
      description: 'Whether the role is built in. A built-in role cannot be changed or deleted.',
    }),
    actions: t.field({
      type: [ActionEnum],
      description: 'The actions that the role allows.',
      resolve: ({ actions }) => [...actions],
    }),
    clusters: t.expose('clusters', {
      type: RoleScope,
      nullable: true,
      description: 'The clusters to which the role applies; null if it applies to all clusters.',
    }),
  }),
});

const RoleScopeInput = builder.inputType('RoleScopeInput', {
  description: 'The clusters to which a role applies: all clusters that match one of the names or the label selector.',
  fields: (t) => ({
    names: t.stringList({ description: 'Cluster names. `*` matches any number of characters and `?` matches one.' }),
    labelSelector: t.string({ description: 'A Kubernetes label selector, such as `env in (staging, prod), !legacy`.' }),
  }),
});

const DefineRoleInput = builder.inputType('DefineRoleInput', {
  description: 'The role to create. If a custom role with this name exists, it is replaced.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'The name: lower-case letters, digits and `-`.' }),
    description: t.string({ description: 'The description of the role, up to 1,000 characters.' }),
    actions: t.field({
      type: [ActionEnum],
      required: true,
      description:
        'The actions to allow: any of CLUSTERS_READ, CLUSTERS_LIVE, CLUSTERS_UPDATE, CLUSTERS_DELETE and AUDIT_READ.',
    }),
    clusters: t.field({
      type: RoleScopeInput,
      description: 'The clusters to which the role applies. If absent, it applies to all clusters.',
    }),
  }),
});

const DeleteRoleInput = builder.inputType('DeleteRoleInput', {
  description: 'The role to delete.',
  fields: (t) => ({ name: t.string({ required: true, description: 'The name of the role.' }) }),
});

const DefineRoleSuccess = builder.objectRef<{ name: string }>('DefineRoleSuccess').implement({
  description:
    'The role was created or replaced. Users and API keys with the role have the new permissions from the next request on.',
  fields: (t) => ({ name: t.exposeString('name', { description: 'The name of the role.' }) }),
});

const DeleteRoleSuccess = builder.objectRef<{ name: string }>('DeleteRoleSuccess').implement({
  description:
    'The role was deleted and removed from all users and API keys. Sessions of users who held it were ended.',
  fields: (t) => ({ deletedName: t.exposeString('name', { description: 'The name of the deleted role.' }) }),
});

const countRoles: EstimateWork = () => (counts) => ({
  steps: STEPS_OF_ROW * counts.roles,
  times: 1,
  what: `listing ${counts.roles.toLocaleString('en')} roles`,
});

builder.queryField('roles', (t) =>
  t.field({
    type: [Role],
    description:
      'All roles: first the built-in ones, then the others by name. Empty if the viewer does not hold ACCESS_MANAGE.',
    complexity: { field: 1, multiplier: 50 },
    extensions: { work: countRoles },
    resolve: (_root, _args, { roles, caller }) => roles.list(caller),
  }),
);

addMutation('defineRole', {
  description: 'Creates a role, or replaces the custom role of the same name.',
  input: DefineRoleInput,
  about: 'The role to create or replace.',
  success: DefineRoleSuccess,
  returns: 'the name of the role',
  // The domain validates which of the actions a custom role may allow.
  resolve: (input, { roles, caller }) => roles.define(caller, input as Parameters<typeof roles.define>[1]),
});

addMutation('deleteRole', {
  description: 'Deletes a role and removes it from all users and API keys.',
  input: DeleteRoleInput,
  about: 'The role to delete.',
  success: DeleteRoleSuccess,
  returns: 'the name of the deleted role',
  errors: [NotFoundError],
  resolve: async ({ name }, { roles, caller }) => {
    await roles.delete(caller, name);
    return { name };
  },
});
