/** Builds the `values` of a Pothos enum, each with its description. */
export function describedEnum<const Value extends string>(
  values: readonly Value[],
  descriptions: Readonly<Record<Value, string>>,
): { [Name in Value]: { value: Name; description: string } } {
  return Object.fromEntries(values.map((value) => [value, { value, description: descriptions[value] }])) as never;
}
