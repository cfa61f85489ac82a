import { ACTIONS } from '../../domain/access/action.ts';
import type { Viewer } from '../../domain/access/caller.ts';
import { hasActionOnSome } from '../../domain/access/permissions.ts';
import { builder, OPEN_TO_ANONYMOUS } from '../builder.ts';
import { describedEnum } from './enums.ts';
import { ActionEnum } from './roles.ts';

const ViewerKind = builder.enumType('ViewerKind', {
  description: 'The kind of caller.',
  values: describedEnum(['USER', 'API_KEY', 'SYSTEM'], {
    USER: 'A user who signed in.',
    API_KEY: 'An API key.',
    SYSTEM: 'Kitestring itself.',
  }),
});

const ViewerType = builder.objectRef<Viewer>('Viewer').implement({
  description: 'The authenticated caller of this request.',
  fields: (t) => ({
    kind: t.expose('kind', { type: ViewerKind, description: 'The kind of caller.' }),
    name: t.exposeString('name', { description: 'The name of the user or of the API key.' }),
    roles: t.expose('roles', { type: ['String'], description: 'The names of the caller’s roles, such as `admin`.' }),
    actions: t.field({
      type: [ActionEnum],
      description: 'The actions that the caller may perform on at least one cluster.',
      resolve: (viewer) => ACTIONS.filter((action) => hasActionOnSome(viewer, action)),
    }),
  }),
});

builder.queryField('viewer', (t) =>
  t.field({
    type: ViewerType,
    nullable: true,
    extensions: OPEN_TO_ANONYMOUS,
    description: 'The authenticated caller of this request; null if the request is anonymous.',
    resolve: (_root, _args, { caller }) => caller.viewer,
  }),
);
