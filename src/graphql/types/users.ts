import type { User as DomainUser } from '../../domain/access/users.ts';
import { builder } from '../builder.ts';
import { asErrorResult, resultType } from '../errors.ts';
import { type CountWork, STEPS_OF_ROW } from '../work.ts';
import { ForbiddenError, InvalidInputError, LastAdminError, NameTakenError, NotFoundError } from './errors.ts';

const User = builder.objectRef<DomainUser>('User').implement({
  description: 'A person who signs in.',
  fields: (t) => ({
    databaseId: t.exposeInt('id', { description: 'What audit records name them by, as `user:<id>`.' }),
    username: t.exposeString('username', { description: 'The name they sign in with.' }),
    name: t.exposeString('name', { description: 'The name that is shown.' }),
    provider: t.exposeString('provider', {
      description: '`password`, or the OpenID Connect provider they sign in by.',
    }),
    disabled: t.exposeBoolean('disabled', { description: 'Whether they may not sign in.' }),
    roles: t.expose('roles', { type: ['String'], description: 'The roles they hold.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When they were made.' }),
  }),
});

const CreateUserInput = builder.inputType('CreateUserInput', {
  description: 'A person to make.',
  fields: (t) => ({
    username: t.string({ required: true, description: 'Unique in any letter case: letters, digits and any of ._@+-.' }),
    password: t.string({
      description: '10 to 256 characters; without one they cannot sign in before an admin gives them one.',
    }),
    name: t.string({ description: 'The name that is shown, up to 253 characters.' }),
    roles: t.stringList({ required: true, defaultValue: [], description: 'The roles they hold.' }),
  }),
});

const UpdateUserInput = builder.inputType('UpdateUserInput', {
  description:
    'What to change of a person: absent keeps. A new password, other roles and disabling end their sessions.',
  fields: (t) => ({
    username: t.string({ required: true, description: 'Which person.' }),
    name: t.string({ description: 'A new name to show.' }),
    password: t.string({ description: 'A new password, 10 to 256 characters.' }),
    disabled: t.boolean({ description: 'Whether they may not sign in.' }),
    roles: t.stringList({ description: 'All roles anew.' }),
  }),
});

const DeleteUserInput = builder.inputType('DeleteUserInput', {
  description: 'A person to forget, with their sessions and keys.',
  fields: (t) => ({ username: t.string({ required: true, description: 'Which person.' }) }),
});

const ChangePasswordInput = builder.inputType('ChangePasswordInput', {
  description: 'A new password of one’s own.',
  fields: (t) => ({
    oldPassword: t.string({ required: true, description: 'The present password.' }),
    newPassword: t.string({ required: true, description: 'The new one, 10 to 256 characters.' }),
  }),
});

const userSuccess = (name: string, description: string) =>
  builder.objectRef<{ user: DomainUser }>(name).implement({
    description,
    fields: (t) => ({ user: t.expose('user', { type: User, description: 'The person as they are now.' }) }),
  });

const CreateUserSuccess = userSuccess('CreateUserSuccess', 'The person was made.');
const UpdateUserSuccess = userSuccess('UpdateUserSuccess', 'The person was changed, or was so already.');

const DeleteUserSuccess = builder.objectRef<{ username: string }>('DeleteUserSuccess').implement({
  description: 'The person was deleted.',
  fields: (t) => ({ deletedUsername: t.exposeString('username', { description: 'The name they signed in with.' }) }),
});

const ChangePasswordSuccess = builder.objectRef<{ signedOut: boolean }>('ChangePasswordSuccess').implement({
  description: 'The password was changed, and every session ended, this one too.',
  fields: (t) => ({ signedOut: t.exposeBoolean('signedOut', { description: 'Always true: sign in again.' }) }),
});

const commonErrors = [InvalidInputError, ForbiddenError] as const;

const CreateUserResult = builder.unionType('CreateUserResult', {
  description: 'The answer of `createUser`.',
  types: [CreateUserSuccess, NameTakenError, ...commonErrors],
  resolveType: resultType('CreateUserSuccess'),
});

const UpdateUserResult = builder.unionType('UpdateUserResult', {
  description: 'The answer of `updateUser`.',
  types: [UpdateUserSuccess, NotFoundError, LastAdminError, ...commonErrors],
  resolveType: resultType('UpdateUserSuccess'),
});

const DeleteUserResult = builder.unionType('DeleteUserResult', {
  description: 'The answer of `deleteUser`.',
  types: [DeleteUserSuccess, NotFoundError, LastAdminError, ...commonErrors],
  resolveType: resultType('DeleteUserSuccess'),
});

const ChangePasswordResult = builder.unionType('ChangePasswordResult', {
  description: 'The answer of `changePassword`.',
  types: [ChangePasswordSuccess, ...commonErrors],
  resolveType: resultType('ChangePasswordSuccess'),
});

const input = { required: true, description: 'What to do.' } as const;

const countUsers: CountWork = () => (counts) => ({
  steps: STEPS_OF_ROW * counts.users,
  times: 1,
  what: `listing ${counts.users.toLocaleString('en')} users`,
});

builder.queryField('users', (t) =>
  t.field({
    type: [User],
    description: 'The people, by their names; none for whoever may not manage them.',
    complexity: { field: 1, multiplier: 50 },
    extensions: { work: countUsers },
    resolve: (_root, _args, { users, caller }) => users.list(caller),
  }),
);

builder.mutationFields((t) => ({
  createUser: t.field({
    type: CreateUserResult,
    description: 'Makes a person.',
    args: { input: t.arg({ type: CreateUserInput, ...input }) },
    resolve: (_root, { input }, { users, caller }) =>
      asErrorResult(async () => ({ user: await users.create(caller, input) })),
  }),
  updateUser: t.field({
    type: UpdateUserResult,
    description: 'Changes a person. The last enabled admin stays one.',
    args: { input: t.arg({ type: UpdateUserInput, ...input }) },
    resolve: (_root, { input }, { users, caller }) =>
      asErrorResult(async () => ({ user: await users.update(caller, input) })),
  }),
  deleteUser: t.field({
    type: DeleteUserResult,
    description: 'Forgets a person, with their sessions and keys. The last enabled admin stays.',
    args: { input: t.arg({ type: DeleteUserInput, ...input }) },
    resolve: (_root, { input: { username } }, { users, caller }) =>
      asErrorResult(async () => {
        await users.delete(caller, username);
        return { username };
      }),
  }),
  changePassword: t.field({
    type: ChangePasswordResult,
    description: 'Changes one’s own password and ends all of one’s sessions.',
    args: { input: t.arg({ type: ChangePasswordInput, ...input }) },
    resolve: (_root, { input }, { users, caller }) =>
      asErrorResult(async () => {
        await users.changePassword(caller, input);
        return { signedOut: true };
      }),
  }),
}));
