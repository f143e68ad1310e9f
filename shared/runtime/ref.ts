// Which object an event is about. The event is only a reason to look: nothing else is taken from it.

import { KINDS, type KindName } from '#shared/api/kinds.ts'

/** `namespace` is undefined for kinds that live outside of namespaces. */
export type ObjectRef = { kind: KindName; namespace: string | undefined; name: string }

/** `sweep`: woken by Dormouse's own sweep; `event`: by a change that the API server announced. */
export type Cause = 'event' | 'sweep'

/** Type of the events that the sweep sends. */
export const WAKE_TYPE = 'dev.dormouse.wake'

export const NAME_MAX_CHARS = 253
export const NAMESPACE_MAX_CHARS = 63
const NAME = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const NAMESPACE = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/

/** The attributes of a CloudEvent that Dormouse reads; anything else in it is left alone. */
export type EventAttributes = { readonly [attribute: string]: unknown }

/** What is wrong with an event, for the log and the sender. */
export class BadEvent extends Error {}

/** Throws BadEvent on a kind outside `kinds`, on another apiVersion, and on names that the API server would refuse. */
export function refFromEvent(event: EventAttributes, kinds: readonly KindName[]): ObjectRef {
  const kind = kinds.find((known) => known === event['kind'])
  if (kind === undefined) throw new BadEvent(`kind ${shown(event['kind'])} is none of ${kinds.join(', ')}`)
  const { apiVersion, namespaced } = KINDS[kind]
  if (event['apiversion'] !== apiVersion) {
    throw new BadEvent(`apiversion ${shown(event['apiversion'])} is not ${apiVersion}`)
  }
  const name = dnsField(event, 'name', NAME, NAME_MAX_CHARS)
  // An ApiServerSource sends an empty namespace for cluster-scoped objects.
  const namespace = namespaced ? dnsField(event, 'namespace', NAMESPACE, NAMESPACE_MAX_CHARS) : undefined
  return { kind, namespace, name }
}

export function causeOf(event: EventAttributes): Cause {
  return event['type'] === WAKE_TYPE ? 'sweep' : 'event'
}

/** For log lines and messages: `Upload velero/upload-7`. */
export function refText(ref: ObjectRef): string {
  return `${ref.kind} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name}`
}

function dnsField(event: EventAttributes, field: string, pattern: RegExp, maxChars: number): string {
  const value = event[field]
  if (typeof value === 'string' && value.length <= maxChars && pattern.test(value)) return value
  throw new BadEvent(`${field} ${shown(value)} is no DNS name of at most ${maxChars} characters`)
}

/** Short and in one line: what a stranger sent goes into the log. */
function shown(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 80) ?? 'undefined'
}
