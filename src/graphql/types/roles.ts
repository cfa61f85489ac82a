import { ACTIONS, type Action, actionName } from '../../domain/access/permissions.ts';
import type { ClusterScope } from '../../domain/access/role.ts';
import { builder } from '../builder.ts';
import { asErrorResult, resultType } from '../errors.ts';
import { type CountWork, STEPS_OF_ROW } from '../work.ts';
import { ForbiddenError, InvalidInputError, NotFoundError } from './errors.ts';

interface RoleRow {
  name: string;
  description: string;
  builtIn: boolean;
  actions: readonly Action[];
  clusters: ClusterScope | null;
}

const DESCRIPTIONS: Readonly<Record<Action, string>> = {
  'clusters.read': 'See clusters, in lists and streams and one by one.',
  'clusters.live': 'Have a cluster asked now, with the credential that Kitestring holds.',
  'clusters.create': 'Register clusters.',
  'clusters.update': 'Change clusters.',
  'clusters.delete': 'Delete clusters.',
  'clusters.import': 'Import a kubeconfig.',
  'clusters.in-cluster': 'Lend a cluster the service account of Kitestring’s own pod.',
  'access.manage': 'Manage users, roles and keys that allow no more than the viewer holds.',
  'audit.read': 'Read the audit log.',
  'metrics.read': 'Read the metrics.',
  'rest.use': 'Use the REST routes of the registry.',
};

/** The actions, named as GraphQL spells enums: `clusters.in-cluster` is CLUSTERS_IN_CLUSTER. */
export const ActionEnum = builder.enumType('Action', {
  description: 'What a role allows. More may be added.',
  values: Object.fromEntries(
    ACTIONS.map((action) => [actionName(action), { value: action, description: DESCRIPTIONS[action] }]),
  ) as Record<string, { value: Action; description: string }>,
});

const RoleScope = builder.objectRef<ClusterScope>('RoleScope').implement({
  description: 'The clusters that a role holds for: either part lets a cluster in.',
  fields: (t) => ({
    names: t.expose('names', {
      type: ['String'],
      description: 'Names, in which `*` stands for any characters and `?` for one.',
    }),
    labelSelector: t.string({
      nullable: true,
      description: 'Kubernetes’ grammar.',
      resolve: ({ labelSelector }) => labelSelector ?? null,
    }),
  }),
});

const Role = builder.objectRef<RoleRow>('Role').implement({
  description: 'What those who hold it may do, and to which clusters.',
  fields: (t) => ({
    name: t.exposeString('name', { description: 'Its name.' }),
    description: t.exposeString('description', { description: 'What it is for.' }),
    builtIn: t.exposeBoolean('builtIn', { description: 'Whether it is always there, and cannot be changed.' }),
    actions: t.field({ type: [ActionEnum], description: 'What it allows.', resolve: ({ actions }) => [...actions] }),
    clusters: t.expose('clusters', {
      type: RoleScope,
      nullable: true,
      description: 'The clusters it holds for; null: every one.',
    }),
  }),
});

const RoleScopeInput = builder.inputType('RoleScopeInput', {
  description: 'The clusters that a role holds for: either part lets a cluster in.',
  fields: (t) => ({
    names: t.stringList({ description: 'Names, in which `*` stands for any characters and `?` for one.' }),
    labelSelector: t.string({ description: 'Kubernetes’ grammar: `env in (staging, prod), !legacy`.' }),
  }),
});

const DefineRoleInput = builder.inputType('DefineRoleInput', {
  description: 'A role of one’s own; one of the same name is defined anew.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Lower-case letters, digits and `-`.' }),
    description: t.string({ description: 'What it is for, up to 1,000 characters.' }),
    actions: t.field({
      type: [ActionEnum],
      required: true,
      description:
        'What it allows: some of CLUSTERS_READ, CLUSTERS_LIVE, CLUSTERS_UPDATE, CLUSTERS_DELETE and AUDIT_READ.',
    }),
    clusters: t.field({ type: RoleScopeInput, description: 'The clusters it holds for; every one when absent.' }),
  }),
});

const DeleteRoleInput = builder.inputType('DeleteRoleInput', {
  description: 'A role to forget.',
  fields: (t) => ({ name: t.string({ required: true, description: 'Which role.' }) }),
});

const DefineRoleSuccess = builder.objectRef<{ name: string }>('DefineRoleSuccess').implement({
  description: 'The role is defined; whoever holds it has it from the next request on.',
  fields: (t) => ({ name: t.exposeString('name', { description: 'Its name.' }) }),
});

const DeleteRoleSuccess = builder.objectRef<{ name: string }>('DeleteRoleSuccess').implement({
  description: 'The role was deleted; whoever held it holds it no more, and signs in again.',
  fields: (t) => ({ deletedName: t.exposeString('name', { description: 'Its name.' }) }),
});

const DefineRoleResult = builder.unionType('DefineRoleResult', {
  description: 'The answer of `defineRole`.',
  types: [DefineRoleSuccess, InvalidInputError, ForbiddenError],
  resolveType: resultType('DefineRoleSuccess'),
});

const DeleteRoleResult = builder.unionType('DeleteRoleResult', {
  description: 'The answer of `deleteRole`.',
  types: [DeleteRoleSuccess, NotFoundError, InvalidInputError, ForbiddenError],
  resolveType: resultType('DeleteRoleSuccess'),
});

const input = { required: true, description: 'What to do.' } as const;

const countRoles: CountWork = () => (counts) => ({
  steps: STEPS_OF_ROW * counts.roles,
  times: 1,
  what: `listing ${counts.roles.toLocaleString('en')} roles`,
});

builder.queryField('roles', (t) =>
  t.field({
    type: [Role],
    description: 'The roles: the built-in ones, then the others by name. None for whoever may not manage them.',
    complexity: { field: 1, multiplier: 50 },
    extensions: { work: countRoles },
    resolve: (_root, _args, { roles, caller }) => roles.list(caller),
  }),
);

builder.mutationFields((t) => ({
  defineRole: t.field({
    type: DefineRoleResult,
    description: 'Defines a role, or defines it anew.',
    args: { input: t.arg({ type: DefineRoleInput, ...input }) },
    resolve: (_root, { input }, { roles, caller }) =>
      // The domain says which actions a role may give.
      asErrorResult(() => roles.define(caller, input as Parameters<typeof roles.define>[1])),
  }),
  deleteRole: t.field({
    type: DeleteRoleResult,
    description: 'Forgets a role.',
    args: { input: t.arg({ type: DeleteRoleInput, ...input }) },
    resolve: (_root, { input: { name } }, { roles, caller }) =>
      asErrorResult(async () => {
        await roles.delete(caller, name);
        return { name };
      }),
  }),
}));
