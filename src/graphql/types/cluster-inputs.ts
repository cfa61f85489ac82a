import { VERIFICATIONS } from '../../domain/clusters/credential.ts';
import { NAME_TAKEN_CHOICES } from '../../domain/clusters/import-decisions.ts';
import { builder } from '../builder.ts';
import { ClusterByInput } from './cluster-queries.ts';
import { describedEnum } from './enums.ts';

const Verification = builder.enumType('Verification', {
  description: 'How much is looked at before a credential is stored.',
  values: describedEnum(VERIFICATIONS, {
    NONE: 'Nothing: a kubeconfig that cannot be used is stored, and its cluster says why.',
    SYNTAX: 'The kubeconfig must be one that can be used.',
    CONNECT: 'The cluster is asked, and must know the credential.',
  }),
});

const LabelInput = builder.inputType('LabelInput', {
  description: 'A label, as Kubernetes has them.',
  fields: (t) => ({
    key: t.string({ required: true, description: 'An optional DNS prefix and `/`, then up to 63 characters.' }),
    value: t.string({ required: true, description: 'Empty, or up to 63 characters.' }),
  }),
});

const KubeconfigInput = builder.inputType('KubeconfigInput', {
  description: 'A kubeconfig, and which of its contexts to take.',
  fields: (t) => ({
    text: t.string({
      required: true,
      description: 'The kubeconfig, YAML or JSON, self-contained (`kubectl config view --raw --flatten`).',
    }),
    context: t.string({ description: 'The context; else the current one, else the only one.' }),
  }),
});

export const ClusterCredentialInput = builder.inputType('ClusterCredentialInput', {
  description: 'How Kitestring reaches the cluster.',
  isOneOf: true,
  fields: (t) => ({
    kubeconfig: t.field({ type: KubeconfigInput, description: 'By a kubeconfig.' }),
    inCluster: t.boolean({
      description:
        'true: by the service account of the pod that Kitestring runs in. false: by the kubeconfig that is stored.',
    }),
  }),
});

export const CreateClusterInput = builder.inputType('CreateClusterInput', {
  description: 'A cluster to register.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'Unique, 1 to 253 characters, no control characters.' }),
    description: t.string({ description: 'Up to 10,000 characters.' }),
    labels: t.field({ type: [LabelInput], description: 'Up to 64 labels.' }),
    credential: t.field({
      type: ClusterCredentialInput,
      description: 'How Kitestring reaches it; needed unless `verify` is NONE.',
    }),
    prometheusURL: t.string({ description: 'Where its Prometheus answers: http or https, up to 2,048 characters.' }),
    isDefault: t.boolean({
      description:
        'true takes the default from the cluster that has it, which needs the right to update that cluster. false when absent.',
    }),
    enabled: t.boolean({ description: 'Whether anything is asked of it. true when absent.' }),
    verify: t.field({
      type: Verification,
      defaultValue: 'SYNTAX',
      description: 'How much is looked at before it is stored.',
    }),
  }),
});

export const UpdateClusterInput = builder.inputType('UpdateClusterInput', {
  description: 'What to change of a cluster: absent keeps, null clears.',
  fields: (t) => ({
    by: t.field({ type: ClusterByInput, required: true, description: 'Which cluster.' }),
    expectedRevision: t.int({ description: 'The revision you have seen: another one is a RevisionConflictError.' }),
    name: t.string({ description: 'A new name.' }),
    description: t.string({ description: 'A new description; null or empty clears it.' }),
    labels: t.field({ type: [LabelInput], description: 'All labels anew; null clears them.' }),
    credential: t.field({ type: ClusterCredentialInput, description: 'A new credential.' }),
    prometheusURL: t.string({ description: 'A new URL; null or empty clears it.' }),
    isDefault: t.boolean({ description: 'true takes the default from the cluster that has it; false gives it up.' }),
    enabled: t.boolean({ description: 'Whether anything is asked of it.' }),
    verify: t.field({
      type: Verification,
      defaultValue: 'SYNTAX',
      description: 'How much is looked at before it is stored.',
    }),
    allowDifferentCluster: t.boolean({
      description: 'With CONNECT: takes a credential that leads to another cluster, else a DifferentClusterError.',
    }),
  }),
});

export const DeleteClusterInput = builder.inputType('DeleteClusterInput', {
  description: 'A cluster to forget.',
  fields: (t) => ({
    by: t.field({ type: ClusterByInput, required: true, description: 'Which cluster.' }),
    expectedRevision: t.int({ description: 'The revision you have seen: another one is a RevisionConflictError.' }),
  }),
});

const NameTaken = builder.enumType('NameTaken', {
  description: 'What an import does where a cluster has the context’s name already.',
  values: describedEnum(NAME_TAKEN_CHOICES, {
    SKIP: 'Leaves that cluster as it is.',
    UPDATE:
      'Gives that cluster the context’s credential; the context is REFUSED where the viewer may not update that cluster.',
    FAIL: 'Imports nothing at all.',
  }),
});

export const ImportClustersInput = builder.inputType('ImportClustersInput', {
  description: 'A kubeconfig, each context of which becomes a cluster named after it.',
  fields: (t) => ({
    kubeconfig: t.string({ description: 'The kubeconfig, YAML or JSON; needed unless `inCluster`.' }),
    inCluster: t.boolean({
      required: true,
      defaultValue: false,
      description: 'Makes the one cluster `in-cluster`, of the pod that Kitestring runs in, and reads no kubeconfig.',
    }),
    contexts: t.stringList({ description: 'These contexts alone; every one when absent.' }),
    onNameTaken: t.field({
      type: NameTaken,
      required: true,
      defaultValue: 'SKIP',
      description: 'What to do where the name is taken.',
    }),
    dryRun: t.boolean({
      required: true,
      defaultValue: false,
      description: 'Answers what would happen and stores nothing.',
    }),
    onlyIfEmpty: t.boolean({
      required: true,
      defaultValue: false,
      description: 'The first set-up: a RegistryNotEmptyError as soon as one cluster exists.',
    }),
    verify: t.field({
      type: Verification,
      required: true,
      defaultValue: 'SYNTAX',
      description: 'SYNTAX refuses contexts that cannot be used, one by one; NONE stores them too.',
    }),
  }),
});
