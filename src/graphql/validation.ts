import { type DocumentNode, type GraphQLError, NoFragmentCyclesRule, specifiedRules, validate } from 'graphql';
import type { Plugin, YogaInitialContext } from 'graphql-yoga';
import { protectedFieldsOf } from './anonymous.ts';
import { COST_BUDGET_EXCEEDED, rateLimited, TOKEN_COST } from './charge.ts';
import type { Context } from './context.ts';
import { limitIntrospection } from './introspection.ts';
import { withoutQuotedValue } from './request-error.ts';
import { schema } from './schema.ts';
import { validationCostError } from './selections.ts';

/** Maximum number of reported errors per document. */
const MAX_ERRORS = 5;
const RULES = [...specifiedRules, limitIntrospection];

/**
 * Validates each parsed document once, and rejects documents that are too costly to validate. Skips validation for an
 * anonymous caller's document with root fields that require signing in, because `anonymousLimit` rejects it.
 */
export function boundedValidation(): Plugin<Context> {
  const errorsByDocument = new WeakMap<DocumentNode, readonly GraphQLError[]>();
  return {
    onValidate({ params: { documentAST }, context, setResult }) {
      const { caller, charge, params } = context as unknown as Context & YogaInitialContext;
      if (!caller.viewer && protectedFieldsOf(documentAST, params.operationName).length > 0) return setResult([]);
      const cached = errorsByDocument.get(documentAST);
      const errors = cached ?? findErrors(documentAST);
      errorsByDocument.set(documentAST, errors);
      // A new document was charged by the parser, and a valid one is charged before execution. Nothing else charges for
      // an invalid document that is sent again.
      const isCharged = !cached || errors.length === 0;
      const seconds = isCharged ? undefined : charge(TOKEN_COST * (documentAST.tokenCount ?? 0));
      setResult(seconds === undefined ? errors : [rateLimited(COST_BUDGET_EXCEEDED, seconds)]);
    },
  };
}

function findErrors(document: DocumentNode): readonly GraphQLError[] {
  const options = { maxErrors: MAX_ERRORS };
  const cycles = validate(schema, document, [NoFragmentCyclesRule], options);
  if (cycles.length > 0) return cycles.map(withoutQuotedValue);
  const tooCostly = validationCostError(document);
  return tooCostly ? [tooCostly] : validate(schema, document, RULES, options).map(withoutQuotedValue);
}
