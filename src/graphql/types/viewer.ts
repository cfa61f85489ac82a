import { ACTIONS, hasActionOnSome } from '../../domain/access/permissions.ts';
import type { Viewer } from '../../domain/access/viewer.ts';
import { builder } from '../builder.ts';
import { describedEnum } from './enums.ts';
import { ActionEnum } from './roles.ts';

const ViewerKind = builder.enumType('ViewerKind', {
  description: 'What kind of caller the viewer is.',
  values: describedEnum(['USER', 'API_KEY', 'SYSTEM'], {
    USER: 'A person.',
    API_KEY: 'An API key.',
    SYSTEM: 'Kitestring itself.',
  }),
});

const ViewerType = builder.objectRef<Viewer>('Viewer').implement({
  description: 'Whoever sent the request.',
  fields: (t) => ({
    kind: t.expose('kind', { type: ViewerKind, description: 'What kind of caller it is.' }),
    name: t.exposeString('name', { description: 'The name of the person or the API key.' }),
    roles: t.expose('roles', { type: ['String'], description: 'The roles it holds, such as `admin`.' }),
    actions: t.field({
      type: [ActionEnum],
      description: 'What it may do, for some clusters at least.',
      resolve: (viewer) => ACTIONS.filter((action) => hasActionOnSome(viewer, action)),
    }),
  }),
});

builder.queryField('viewer', (t) =>
  t.field({
    type: ViewerType,
    nullable: true,
    description: 'Whoever sent the request; null for a stranger.',
    resolve: (_root, _args, { caller }) => caller.viewer,
  }),
);
