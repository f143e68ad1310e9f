// Trigger filters as brokers apply them: to attributes only, never to the data.
// Dialects: https://github.com/cloudevents/spec/blob/main/subscriptions/spec.md#324-filters

export type Filter =
  | { exact: Record<string, string> }
  | { prefix: Record<string, string> }
  | { suffix: Record<string, string> }
  | { all: Filter[] }
  | { any: Filter[] }
  | { not: Filter }

export type TriggerFilters = { filters?: Filter[]; filter?: { attributes?: Record<string, string> } }

type Attributes = Record<string, string>
type Dialect = (rule: never, attributes: Attributes) => boolean

const DIALECTS: Record<string, Dialect> = {
  exact: (rule: Attributes, attributes) => every(rule, attributes, (value, wanted) => value === wanted),
  prefix: (rule: Attributes, attributes) => every(rule, attributes, (value, wanted) => value.startsWith(wanted)),
  suffix: (rule: Attributes, attributes) => every(rule, attributes, (value, wanted) => value.endsWith(wanted)),
  all: (rule: Filter[], attributes) => rule.every((filter) => passes(filter, attributes)),
  any: (rule: Filter[], attributes) => rule.some((filter) => passes(filter, attributes)),
  not: (rule: Filter, attributes) => !passes(rule, attributes),
}

/** `spec.filters`, where given, replaces the older `spec.filter.attributes`; without either everything passes. */
export function triggerTakes(trigger: TriggerFilters, attributes: Attributes): boolean {
  if (trigger.filters !== undefined && trigger.filters.length > 0) {
    return trigger.filters.every((filter) => passes(filter, attributes))
  }
  const wanted = Object.entries(trigger.filter?.attributes ?? {})
  // In the older form, an empty value only requires the attribute to exist.
  return wanted.every(([name, value]) => attributes[name] !== undefined && (value === '' || attributes[name] === value))
}

/** Throws on a dialect that it does not know (cesql): ignoring it would let events pass that a broker holds back. */
export function checkFilters(filters: Filter[], where: string): void {
  for (const filter of filters) {
    for (const [dialect, rule] of Object.entries(filter)) {
      if (DIALECTS[dialect] === undefined) throw new Error(`${where}: the router does not know the filter "${dialect}"`)
      if (dialect === 'not') checkFilters([rule as Filter], where)
      if (dialect === 'all' || dialect === 'any') checkFilters(rule as Filter[], where)
    }
  }
}

function passes(filter: Filter, attributes: Attributes): boolean {
  return Object.entries(filter).every(([dialect, rule]) => DIALECTS[dialect]!(rule as never, attributes))
}

function every(rule: Attributes, attributes: Attributes, test: (value: string, wanted: string) => boolean): boolean {
  return Object.entries(rule).every(([name, wanted]) => {
    const value = attributes[name]
    return value !== undefined && test(value, wanted)
  })
}
