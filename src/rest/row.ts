import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import type { z } from 'zod';
import type { AuditAction } from '../domain/audit/record.ts';

type Success<Result> = Exclude<Result, { code: unknown }>;

/** The root field that provides a row's result. List documents select the default cluster as a second root field. */
type FirstField<Data> = Exclude<keyof Data, 'defaultCluster'>;

/**
 * A REST route: its GraphQL document, how the request maps to variables, and how the result maps to the response body.
 */
export interface Row<
  Data = never,
  Variables = never,
  Body extends z.ZodObject = z.ZodObject,
  Result extends z.ZodType = z.ZodType,
> {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  /** The name of the route in the OpenAPI document. */
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  /** The required caller: a holder of the role admin, or any authenticated caller. Checked before everything else. */
  readonly access: 'admin' | 'signed in';
  /** The action that the audit log records if the caller is refused. Required for a route that changes something. */
  readonly action?: AuditAction;
  /** The kind of object that the route is about, and that `:id` in its path identifies. */
  readonly objectKind: 'cluster' | 'API key';
  readonly body?: Body;
  readonly document: TypedDocumentNode<Data, Variables>;
  /**
   * `after`: the cursor that precedes the page of a list; undefined for the first page. `id` is 0 if the path has none.
   */
  readonly variables: (request: { id: number; body: z.output<Body>; after?: string | undefined }) => Variables;
  readonly status: 200 | 201;
  readonly result: Result;
  /**
   * Maps the success type of the document's first root field to the response body; error types are handled before. For
   * a list, `first` is the data of the first page: values that exist once, such as the default cluster, come from it.
   */
  readonly toBody: (result: Success<Data[FirstField<Data>]>, first: Data) => z.output<Result>;
  /** Only for a list that is read in pages: returns the cursor of the next page, null on the last one. */
  readonly next?: (result: Success<Data[FirstField<Data>]>) => string | null;
  /** Errors that are specific to this route: the status, the sentence, and when it is returned. */
  readonly errors: readonly (readonly [status: 400 | 403 | 404 | 409, error: string, when: string])[];
}

/** Infers the type parameters of a row from its document and its schemas. */
export const row = <Data, Variables, Body extends z.ZodObject, Result extends z.ZodType>(
  value: Row<Data, Variables, Body, Result>,
) => value;
