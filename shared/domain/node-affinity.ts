// `spec.nodeAffinity` of a PersistentVolume: parses its known form, and checks whether a node matches it.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isObjectName } from '#shared/api/names.ts'
import type { Node } from '#shared/api/types.ts'
import { isLabelKey, isLabelValue } from './kept-keys.ts'

const OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'] as const
type Operator = (typeof OPERATORS)[number]
type Requirement = { key: string; operator: Operator; values?: string[] }
type Term = { matchExpressions?: Requirement[]; matchFields?: Requirement[] }
export type NodeAffinity = { required: { nodeSelectorTerms: Term[] } }

const MAX_CHARS = 8 * 1024
/** The only field of a node that Kubernetes allows in a selector. */
const NAME_FIELD = 'metadata.name'

/**
 * undefined: there is none, or Kubernetes would refuse it. It is taken as a whole or not at all: a part of it could move the volume
 * elsewhere.
 */
export function nodeAffinityOf(value: unknown): NodeAffinity | undefined {
  const terms = (value as { required?: { nodeSelectorTerms?: unknown } } | undefined)?.required?.nodeSelectorTerms
  if (!Array.isArray(terms) || terms.length === 0 || JSON.stringify(terms).length > MAX_CHARS) return undefined
  const read = terms.map(termOf)
  return read.every((term) => term !== undefined) ? { required: { nodeSelectorTerms: read } } : undefined
}

function termOf(value: unknown): Term | undefined {
  const { matchExpressions = [], matchFields = [] } = (value ?? {}) as {
    matchExpressions?: unknown
    matchFields?: unknown
  }
  if (!Array.isArray(matchExpressions) || !Array.isArray(matchFields)) return undefined
  const [expressions, fields] = [matchExpressions.map(requirementOf), matchFields.map(requirementOf)]
  // Kubernetes takes exactly one name (validateNodeFieldSelectorRequirement).
  const isField = (one: Requirement | undefined) =>
    one?.key === NAME_FIELD && /^(Not)?In$/.test(one.operator) && one.values?.length === 1
  if (!expressions.every((one) => one !== undefined) || !fields.every((one) => one !== undefined && isField(one)))
    return undefined
  return {
    ...(expressions.length === 0 ? {} : { matchExpressions: expressions }),
    ...(fields.length === 0 ? {} : { matchFields: fields as Requirement[] }),
  }
}

export function requirementOf(value: unknown): Requirement | undefined {
  const { key, operator, values = [] } = (value ?? {}) as Partial<Record<keyof Requirement, unknown>>
  const isKnown = typeof key === 'string' && isLabelKey(key) && OPERATORS.includes(operator as Operator)
  if (!isKnown || !Array.isArray(values) || !values.every((one) => typeof one === 'string')) return undefined
  return areValues(operator as Operator, values)
    ? { key, operator: operator as Operator, ...(values.length === 0 ? {} : { values }) }
    : undefined
}

function areValues(operator: Operator, values: readonly string[]): boolean {
  if (operator === 'In' || operator === 'NotIn') return values.length > 0 && values.every(isNodeValue)
  return operator === 'Gt' || operator === 'Lt'
    ? values.length === 1 && /^-?\d{1,18}$/.test(values[0] ?? '')
    : values.length === 0
}

/** A label value, or the name of a node. */
function isNodeValue(value: string): boolean {
  return isLabelValue(value) || isObjectName(value)
}

/** One matching term is enough; a term without requirements matches no node. */
export function hasNode({ required }: NodeAffinity, nodes: readonly Node[]): boolean {
  return nodes.some((node) => required.nodeSelectorTerms.some((term) => isIn(term, node)))
}

function isIn({ matchExpressions = [], matchFields = [] }: Term, { metadata }: KubeObject): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false
  const labels = metadata.labels ?? {}
  const of = (labelled: Record<string, string>) => (one: Requirement) =>
    meets(one, Object.hasOwn(labelled, one.key) ? labelled[one.key] : undefined)
  return matchExpressions.every(of(labels)) && matchFields.every(of({ [NAME_FIELD]: metadata.name }))
}

/** `has` undefined: the node has no such label. */
export function meets({ operator, values = [] }: Requirement, has: string | undefined): boolean {
  switch (operator) {
    case 'In':
      return has !== undefined && values.includes(has)
    case 'NotIn':
      return has === undefined || !values.includes(has)
    case 'Exists':
      return has !== undefined
    case 'DoesNotExist':
      return has === undefined
    case 'Gt':
      return Number.parseInt(has ?? '', 10) > Number(values[0])
    case 'Lt':
      return Number.parseInt(has ?? '', 10) < Number(values[0])
  }
}
