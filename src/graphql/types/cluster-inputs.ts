import { NAME_TAKEN_CHOICES } from '../../domain/clusters/import-decisions.ts';
import { VERIFICATIONS } from '../../domain/credentials/credential-input.ts';
import { builder } from '../builder.ts';
import { ClusterByInput } from './cluster-queries.ts';
import { describedEnum } from './enums.ts';

const Verification = builder.enumType('Verification', {
  description: 'How thoroughly a credential is checked before it is stored.',
  values: describedEnum(VERIFICATIONS, {
    NONE: 'Performs no check. A kubeconfig that cannot be used is stored, and the cluster becomes UNUSABLE with the reason.',
    SYNTAX: 'Requires a kubeconfig that Kitestring can parse and use. Does not call the cluster.',
    CONNECT: 'As SYNTAX, and also calls the API server, which must accept the credential.',
  }),
});

const LabelInput = builder.inputType('LabelInput', {
  description: 'A Kubernetes-style label.',
  fields: (t) => ({
    key: t.string({
      required: true,
      description: 'The key: an optional DNS prefix and `/`, then up to 63 characters.',
    }),
    value: t.string({ required: true, description: 'The value: up to 63 characters, may be empty.' }),
  }),
});

const KubeconfigInput = builder.inputType('KubeconfigInput', {
  description: 'A kubeconfig and the context to use from it.',
  fields: (t) => ({
    text: t.string({
      required: true,
      description: 'The kubeconfig as YAML or JSON. It must be self-contained (`kubectl config view --raw --flatten`).',
    }),
    context: t.string({
      description: 'The name of the context to use. If absent, the current context, or the only one.',
    }),
  }),
});

export const ClusterCredentialInput = builder.inputType('ClusterCredentialInput', {
  description: 'How Kitestring connects to the cluster. Exactly one field must be set.',
  isOneOf: true,
  fields: (t) => ({
    kubeconfig: t.field({ type: KubeconfigInput, description: 'Connects with this kubeconfig.' }),
    inCluster: t.boolean({
      description:
        'true: connects with the service account of the pod that Kitestring runs in. false: connects with the stored kubeconfig.',
    }),
  }),
});

export const CreateClusterInput = builder.inputType('CreateClusterInput', {
  description: 'The cluster to register.',
  fields: (t) => ({
    name: t.string({ required: true, description: 'The name: unique, 1 to 253 characters, no control characters.' }),
    description: t.string({ description: 'A free-text description, up to 10,000 characters.' }),
    labels: t.field({ type: [LabelInput], description: 'The labels, at most 64.' }),
    credential: t.field({
      type: ClusterCredentialInput,
      description: 'How Kitestring connects to the cluster. Required unless `verify` is NONE.',
    }),
    prometheusURL: t.string({
      description: 'The URL of the cluster’s Prometheus: http or https, up to 2,048 characters.',
    }),
    isDefault: t.boolean({
      description:
        'true makes this the default cluster in place of the current one, which requires CLUSTERS_UPDATE on the current one. Defaults to false.',
    }),
    enabled: t.boolean({ description: 'Whether Kitestring connects to the cluster. Defaults to true.' }),
    verify: t.field({
      type: Verification,
      defaultValue: 'SYNTAX',
      description: 'How thoroughly the credential is checked before the cluster is stored.',
    }),
  }),
});

export const UpdateClusterInput = builder.inputType('UpdateClusterInput', {
  description: 'Changes to a cluster. An absent field keeps its value; null clears it.',
  fields: (t) => ({
    by: t.field({ type: ClusterByInput, required: true, description: 'The cluster to update.' }),
    expectedRevision: t.int({
      description:
        'The revision that you last read. If the cluster has another revision, the result is a RevisionConflictError.',
    }),
    name: t.string({ description: 'The new name: unique, 1 to 253 characters, no control characters.' }),
    description: t.string({
      description: 'The new description, up to 10,000 characters. Null or the empty string clears it.',
    }),
    labels: t.field({
      type: [LabelInput],
      description: 'The complete new set of labels, at most 64. It replaces all existing labels; null removes them.',
    }),
    credential: t.field({ type: ClusterCredentialInput, description: 'The new credential.' }),
    prometheusURL: t.string({
      description:
        'The new URL of the cluster’s Prometheus, http or https, up to 2,048 characters. Null or the empty string clears it.',
    }),
    isDefault: t.boolean({
      description:
        'true makes this the default cluster in place of the current one. false on the default cluster leaves the registry without a default.',
    }),
    enabled: t.boolean({ description: 'Whether Kitestring connects to the cluster.' }),
    verify: t.field({
      type: Verification,
      defaultValue: 'SYNTAX',
      description: 'How thoroughly the credential is checked before it is stored.',
    }),
    allowDifferentCluster: t.boolean({
      description:
        'Only with `verify: CONNECT`: true accepts a credential that leads to a different cluster. Otherwise the result is a DifferentClusterError.',
    }),
  }),
});

export const DeleteClusterInput = builder.inputType('DeleteClusterInput', {
  description: 'The cluster to delete.',
  fields: (t) => ({
    by: t.field({ type: ClusterByInput, required: true, description: 'The cluster to delete.' }),
    expectedRevision: t.int({
      description:
        'The revision that you last read. If the cluster has another revision, the result is a RevisionConflictError.',
    }),
  }),
});

const NameTaken = builder.enumType('NameTaken', {
  description: 'How an import handles a context if its name is already taken by a cluster.',
  values: describedEnum(NAME_TAKEN_CHOICES, {
    SKIP: 'Keeps the existing cluster unchanged.',
    UPDATE:
      'Stores the context’s credential in the existing cluster. If the viewer may not update that cluster, the context is REFUSED.',
    FAIL: 'Imports no context: the result is a NameTakenError.',
  }),
});

export const ImportClustersInput = builder.inputType('ImportClustersInput', {
  description: 'The kubeconfig to import. Each of its contexts becomes a cluster named after the context.',
  fields: (t) => ({
    kubeconfig: t.string({ description: 'The kubeconfig as YAML or JSON. Required unless `inCluster` is true.' }),
    inCluster: t.boolean({
      required: true,
      defaultValue: false,
      description:
        'true creates one cluster, named `in-cluster`, for the cluster that Kitestring runs in, and reads no kubeconfig.',
    }),
    contexts: t.stringList({
      description: 'The names of the contexts to import. If absent, all contexts are imported.',
    }),
    onNameTaken: t.field({
      type: NameTaken,
      required: true,
      defaultValue: 'SKIP',
      description: 'How to handle a context if its name is already taken by a cluster.',
    }),
    dryRun: t.boolean({
      required: true,
      defaultValue: false,
      description: 'true returns the expected results without storing anything.',
    }),
    onlyIfEmpty: t.boolean({
      required: true,
      defaultValue: false,
      description: 'true for first-time setup: if a cluster exists, the result is a RegistryNotEmptyError.',
    }),
    verify: t.field({
      type: Verification,
      required: true,
      defaultValue: 'SYNTAX',
      description:
        'How thoroughly each context is checked. SYNTAX rejects each context that cannot be used; NONE stores those too.',
    }),
  }),
});
