import { type DocumentNode, type GraphQLError, NoFragmentCyclesRule, specifiedRules, validate } from 'graphql';
import type { Plugin, YogaInitialContext } from 'graphql-yoga';
import type { Context } from './context.ts';
import { withoutValue } from './fault.ts';
import { limitIntrospection } from './introspection.ts';
import { closedFieldsOf } from './limits.ts';
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
      const { caller, params } = context as unknown as Context & YogaInitialContext;
      if (!caller.viewer && closedFieldsOf(documentAST, params.operationName).length > 0) return setResult([]);
      const errors = known.get(documentAST) ?? errorsOf(documentAST);
      known.set(documentAST, errors);
      setResult(errors);
    },
  };
}

function errorsOf(document: DocumentNode): readonly GraphQLError[] {
  const options = { maxErrors: MAX_ERRORS };
  const cycles = validate(schema, document, [NoFragmentCyclesRule], options);
  if (cycles.length > 0) return cycles.map(withoutValue);
  const tooCostly = validationCostError(document);
  return tooCostly ? [tooCostly] : validate(schema, document, RULES, options).map(withoutValue);
}
