// A list in a text for people, however long the list is.

const SHOWN = 3

/** The first three, and how many more there are. */
export function firstFew(names: readonly string[]): string {
  const rest = names.length - SHOWN
  return [...names.slice(0, SHOWN), ...(rest > 0 ? [`${rest} more`] : [])].join(', ')
}
