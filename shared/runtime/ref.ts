// Which object an event is about. The event only triggers a read of the object: nothing else is taken from it.

import { KINDS, type KindName } from '#shared/api/kinds.ts'
import { isNamespaceName, isObjectName } from '#shared/api/names.ts'

/** `namespace` is undefined for cluster-scoped kinds. */
export type ObjectRef = { kind: KindName; namespace: string | undefined; name: string }

/** `sweep`: woken by Dormouse's own sweep; `event`: by a change that the API server announced. */
export type Cause = 'event' | 'sweep'

/** Type of the events that the sweep sends. */
export const WAKE_TYPE = 'dev.dormouse.wake'

/** The attributes of a CloudEvent that Dormouse reads; all others are ignored. */
export type EventAttributes = { readonly [attribute: string]: unknown }

/** Describes what is wrong with an event, for the log and the sender. */
export class BadEvent extends Error {}

/** Throws BadEvent on a kind outside `kinds`, on another apiVersion, and on names that the API server would refuse. */
export function refFromEvent(event: EventAttributes, kinds: readonly KindName[]): ObjectRef {
  const kind = kindIn(event, kinds)
  const { name, namespace } = event
  if (!isObjectName(name)) throw new BadEvent(`name ${shown(name)} is no object name`)
  // For cluster-scoped objects an ApiServerSource sends an empty namespace.
  if (!KINDS[kind].namespaced) return { kind, namespace: undefined, name }
  if (!isNamespaceName(namespace)) throw new BadEvent(`namespace ${shown(namespace)} is no namespace name`)
  return { kind, namespace, name }
}

/** By kind and group: another group may have a kind of the same name. */
function kindIn(event: EventAttributes, kinds: readonly KindName[]): KindName {
  const named = kinds.filter((known) => KINDS[known].kind === event['kind'])
  if (named.length === 0) throw new BadEvent(`kind ${shown(event['kind'])} is none of ${kinds.join(', ')}`)
  const kind = named.find((known) => KINDS[known].apiVersion === event['apiversion'])
  if (kind !== undefined) return kind
  const known = named.map((each) => KINDS[each].apiVersion).join(' or ')
  throw new BadEvent(`apiversion ${shown(event['apiversion'])} is not ${known}`)
}

export function causeOf(event: EventAttributes): Cause {
  return event['type'] === WAKE_TYPE ? 'sweep' : 'event'
}

/** For log lines and messages: `Upload velero/upload-7`. */
export function refText(ref: ObjectRef): string {
  return `${ref.kind} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name}`
}

/** Short and in one line: it logs text from an untrusted sender. */
function shown(value: unknown): string {
  return JSON.stringify(value)?.slice(0, 80) ?? 'undefined'
}
