/** The values of an enum, each with its description. */
export function describedEnum<const Value extends string>(
  values: readonly Value[],
  descriptions: Readonly<Record<Value, string>>,
): { [Name in Value]: { value: Name; description: string } } {
  return Object.fromEntries(values.map((value) => [value, { value, description: descriptions[value] }])) as never;
}

/** An action as GraphQL spells the values of enums. */
export function actionName(action: string): string {
  return action.replace(/[^a-z]/g, '_').toUpperCase();
}
