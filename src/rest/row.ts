import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import type { z } from 'zod';

type Success<Result> = Exclude<Result, { code: unknown }>;

/** The root field that a row answers; beside it lists read the default cluster. */
type FirstField<Data> = Exclude<keyof Data, 'defaultCluster'>;

/** A REST row: which document answers it, how the request becomes variables, and what the result becomes. */
export interface Row<
  Data = never,
  Variables = never,
  Body extends z.ZodObject = z.ZodObject,
  Result extends z.ZodType = z.ZodType,
> {
  readonly method: 'get' | 'post' | 'put' | 'delete';
  readonly path: string;
  /** Its name in the OpenAPI document, and what it does. */
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  /** Who may ask, before anything else is looked at: whoever holds the role admin, or whoever is signed in. */
  readonly who: 'admin' | 'signed in';
  /** What its ids are of. */
  readonly of: 'cluster' | 'API key';
  readonly body?: Body;
  readonly document: TypedDocumentNode<Data, Variables>;
  /** `after`: where a page of a list begins; undefined for the first one. */
  readonly variables: (request: { id: number; body: z.output<Body>; after?: string | undefined }) => Variables;
  readonly status: 200 | 201;
  readonly result: Result;
  /**
   * The success of the document's first root field; a refusal of its union never comes here. A page of a list also gets
   * the data of the first page: what there is one of, such as the default cluster, is the same on all pages.
   */
  readonly answer: (result: Success<Data[FirstField<Data>]>, first: Data) => z.output<Result>;
  /** Only of a list that is read in pages: the cursor of the next page, null on the last one. */
  readonly next?: (result: Success<Data[FirstField<Data>]>) => string | null;
  /** How it can be refused besides what any row can answer: the status, the sentence, and when it comes. */
  readonly refusals: readonly (readonly [status: 400 | 403 | 404 | 409, error: string, when: string])[];
}

/** A row, with the types of its document held together. */
export const row = <Data, Variables, Body extends z.ZodObject, Result extends z.ZodType>(
  value: Row<Data, Variables, Body, Result>,
) => value;
