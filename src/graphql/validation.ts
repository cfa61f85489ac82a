import { type DocumentNode, type GraphQLError, NoFragmentCyclesRule, specifiedRules, validate } from 'graphql';
import type { Plugin, YogaInitialContext } from 'graphql-yoga';
import type { Context } from './context.ts';
import { OVER_BUDGET, TOKEN_COST } from './cost.ts';
import { limitIntrospection } from './introspection.ts';
import { closedFieldsOf } from './limits.ts';
import { withoutQuotedValue } from './request-error.ts';
import { rateLimited } from './running-work.ts';
import { schema } from './schema.ts';
import { validationCostError } from './selections.ts';

/** Errors of one document that are reported. */
const MAX_ERRORS = 5;
const RULES = [...specifiedRules, limitIntrospection];

/**
 * Validates each parsed document once, and only what is cheap to validate. A document of an anonymous caller that reads
 * more than they may is not validated at all: `anonymousLimit` refuses it.
 */
export function boundedValidation(): Plugin<Context> {
  const known = new WeakMap<DocumentNode, readonly GraphQLError[]>();
  return {
    onValidate({ params: { documentAST }, context, setResult }) {
      const { caller, charge, params } = context as unknown as Context & YogaInitialContext;
      if (!caller.viewer && closedFieldsOf(documentAST, params.operationName).length > 0) return setResult([]);
      const before = known.get(documentAST);
      const errors = before ?? errorsOf(documentAST);
      known.set(documentAST, errors);
      // A document that is new was charged when it was parsed; an invalid one reaches no other charge.
      const isCharged = !before || errors.length === 0;
      const seconds = isCharged ? undefined : charge(TOKEN_COST * (documentAST.tokenCount ?? 0));
      setResult(seconds === undefined ? errors : [rateLimited(OVER_BUDGET, seconds)]);
    },
  };
}

function errorsOf(document: DocumentNode): readonly GraphQLError[] {
  const options = { maxErrors: MAX_ERRORS };
  const cycles = validate(schema, document, [NoFragmentCyclesRule], options);
  if (cycles.length > 0) return cycles.map(withoutQuotedValue);
  const tooCostly = validationCostError(document);
  return tooCostly ? [tooCostly] : validate(schema, document, RULES, options).map(withoutQuotedValue);
}
