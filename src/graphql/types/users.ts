import type { User as DomainUser } from '../../domain/accounts/users.ts';
import { builder } from '../builder.ts';
import { type EstimateWork, STEPS_OF_ROW } from '../work.ts';
import { LastAdminError, NameTakenError, NotFoundError } from './errors.ts';
import { addMutation } from './mutation.ts';

const User = builder.objectRef<DomainUser>('User').implement({
  description: 'A user, who can sign in to Kitestring.',
  fields: (t) => ({
    databaseId: t.exposeInt('id', {
      description: 'The id of the user. Audit records identify the user as `user:<id>`.',
    }),
    username: t.exposeString('username', { description: 'The name that the user signs in with.' }),
    name: t.exposeString('name', { description: 'The display name.' }),
    provider: t.exposeString('provider', {
      description: 'How the user signs in: `password`, or the name of an OpenID Connect provider.',
    }),
    disabled: t.exposeBoolean('disabled', { description: 'Whether the user is disabled and cannot sign in.' }),
    roles: t.expose('roles', { type: ['String'], description: 'The names of the user’s roles.' }),
    createdAt: t.expose('createdAt', { type: 'DateTime', description: 'When the user was created.' }),
  }),
});

const CreateUserInput = builder.inputType('CreateUserInput', {
  description: 'The user to create.',
  fields: (t) => ({
    username: t.string({
      required: true,
      description: 'The name to sign in with, unique regardless of case: letters, digits and any of ._@+-.',
    }),
    password: t.string({
      description:
        'The password, 10 to 256 characters. Without one, the user cannot sign in until an admin sets a password.',
    }),
    name: t.string({ description: 'The display name, up to 253 characters.' }),
    roles: t.stringList({ required: true, defaultValue: [], description: 'The names of the user’s roles.' }),
  }),
});

const UpdateUserInput = builder.inputType('UpdateUserInput', {
  description:
    'Changes to a user. An absent field keeps its value. A new password, changed roles or disabling ends all sessions of the user.',
  fields: (t) => ({
    username: t.string({ required: true, description: 'The name of the user to update.' }),
    name: t.string({ description: 'The new display name.' }),
    password: t.string({ description: 'The new password, 10 to 256 characters.' }),
    disabled: t.boolean({ description: 'true disables the user, who then cannot sign in; false enables the user.' }),
    roles: t.stringList({ description: 'The complete new set of role names. It replaces all existing roles.' }),
  }),
});

const DeleteUserInput = builder.inputType('DeleteUserInput', {
  description: 'The user to delete, together with their sessions and personal API keys.',
  fields: (t) => ({ username: t.string({ required: true, description: 'The name of the user to delete.' }) }),
});

const ChangePasswordInput = builder.inputType('ChangePasswordInput', {
  description: 'A new password for the calling user.',
  fields: (t) => ({
    oldPassword: t.string({ required: true, description: 'The current password.' }),
    newPassword: t.string({ required: true, description: 'The new password, 10 to 256 characters.' }),
  }),
});

const userSuccess = (name: string, description: string) =>
  builder.objectRef<{ user: DomainUser }>(name).implement({
    description,
    fields: (t) => ({ user: t.expose('user', { type: User, description: 'The user after the change.' }) }),
  });

const CreateUserSuccess = userSuccess('CreateUserSuccess', 'The user was created.');
const UpdateUserSuccess = userSuccess(
  'UpdateUserSuccess',
  'The user was updated, or already had the requested values.',
);

const DeleteUserSuccess = builder.objectRef<{ username: string }>('DeleteUserSuccess').implement({
  description: 'The user was deleted.',
  fields: (t) => ({ deletedUsername: t.exposeString('username', { description: 'The name of the deleted user.' }) }),
});

const ChangePasswordSuccess = builder.objectRef<{ signedOut: boolean }>('ChangePasswordSuccess').implement({
  description: 'The password was changed, and all sessions of the user were ended, including this one.',
  fields: (t) => ({
    signedOut: t.exposeBoolean('signedOut', { description: 'Always true: the user must sign in again.' }),
  }),
});

const countUsers: EstimateWork = () => (counts) => ({
  steps: STEPS_OF_ROW * counts.users,
  times: 1,
  what: `listing ${counts.users.toLocaleString('en')} users`,
});

builder.queryField('users', (t) =>
  t.field({
    type: [User],
    description: 'All users, ordered by username. Empty if the viewer does not hold ACCESS_MANAGE.',
    complexity: { field: 1, multiplier: 50 },
    extensions: { work: countUsers },
    resolve: (_root, _args, { users, caller }) => users.list(caller),
  }),
);

addMutation('createUser', {
  description: 'Creates a user.',
  input: CreateUserInput,
  about: 'The user to create.',
  success: CreateUserSuccess,
  returns: 'the new user',
  errors: [NameTakenError],
  resolve: async (input, { users, caller }) => ({ user: await users.create(caller, input) }),
});

addMutation('updateUser', {
  description: 'Updates a user. The last enabled admin cannot be disabled or lose the role `admin`.',
  input: UpdateUserInput,
  about: 'The user to update and the new values.',
  success: UpdateUserSuccess,
  returns: 'the updated user',
  errors: [NotFoundError, LastAdminError],
  resolve: async (input, { users, caller }) => ({ user: await users.update(caller, input) }),
});

addMutation('deleteUser', {
  description: 'Deletes a user with their sessions and personal API keys. The last enabled admin cannot be deleted.',
  input: DeleteUserInput,
  about: 'The user to delete.',
  success: DeleteUserSuccess,
  returns: 'the name of the deleted user',
  errors: [NotFoundError, LastAdminError],
  resolve: async ({ username }, { users, caller }) => {
    await users.delete(caller, username);
    return { username };
  },
});

addMutation('changePassword', {
  description: 'Changes the password of the calling user and ends all sessions of that user.',
  input: ChangePasswordInput,
  about: 'The current and the new password.',
  success: ChangePasswordSuccess,
  returns: 'success',
  resolve: async (input, { users, caller }) => {
    await users.changePassword(caller, input);
    return { signedOut: true };
  },
});
