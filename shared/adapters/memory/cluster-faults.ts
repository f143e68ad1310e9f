// Injected faults, and the events that an ApiServerSource would send: tests attach both to the in-memory cluster.

import type { KindName } from '#shared/api/kinds.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import type { Stored } from './cluster-rules.ts'
import { type LabelTest, parseLabelSelector } from './cluster-selector.ts'

export type Verb = 'read' | 'list' | 'create' | 'patch' | 'patchStatus' | 'delete'

export type Fault = {
  /** Unset fields match every call. */
  verb?: Verb | readonly Verb[]
  kind?: KindName
  name?: string
  /** Number of calls that fail; default 1. */
  times?: number
  /** `before`: the call has no effect. `after`: the write is stored, only its answer is lost. */
  when?: 'before' | 'after'
  /** Default: RetryableError `KubernetesUnavailable`. */
  error?: Error
}

type Call = { verb: Verb; kind: KindName; name: string | undefined }

/** Faults in the order in which they were added; a call gets the first one that matches. */
export class Faults {
  #waiting: (Fault & { left: number })[] = []

  add(fault: Fault): void {
    this.#waiting.push({ ...fault, left: fault.times ?? 1 })
  }

  clear(): void {
    this.#waiting = []
  }

  async around<T>(call: Call, act: () => T): Promise<T> {
    const fault = this.#take(call)
    if (fault === undefined) return act()
    if (fault.when === 'after') act()
    throw (
      fault.error ??
      new RetryableError('KubernetesUnavailable', `${call.verb} ${call.kind}: fault ordered by a test`, {
        origin: 'api',
      })
    )
  }

  #take(call: Call): Fault | undefined {
    const fault = this.#waiting.find((candidate) => fits(candidate, call))
    if (fault === undefined) return undefined
    fault.left -= 1
    if (fault.left === 0) this.#waiting.splice(this.#waiting.indexOf(fault), 1)
    return fault
  }
}

function fits(fault: Fault, call: Call): boolean {
  const verbs = typeof fault.verb === 'string' ? [fault.verb] : fault.verb
  if (verbs !== undefined && !verbs.includes(call.verb)) return false
  if (fault.kind !== undefined && fault.kind !== call.kind) return false
  return fault.name === undefined || fault.name === call.name
}

export type EventSelector = { kind: KindName; namespace?: string; labelSelector?: string }

export type ClusterEvent = {
  type: 'add' | 'update' | 'delete'
  apiVersion: string
  kind: KindName
  namespace: string | undefined
  name: string
}

/** Undefined `before`: created. Undefined `after`: deleted. */
export type WriteListener = (kind: KindName, before: Stored | undefined, after: Stored | undefined) => void

/**
 * Turns writes into events like a watch with a selector: an object that begins to match is an `add`, one that still matches an `update`,
 * one that no longer matches a `delete`; other objects cause no events. Existing objects are not announced.
 */
export function eventsOf(selector: EventSelector, callback: (event: ClusterEvent) => void): WriteListener {
  const labelled = parseLabelSelector(selector.labelSelector)
  return (kind, before, after) => {
    const subject = after ?? before
    if (kind !== selector.kind || subject === undefined) return
    const { namespace, name } = subject.metadata
    if (selector.namespace !== undefined && selector.namespace !== namespace) return
    const type = eventType(labelled, before, after)
    if (type !== undefined) callback({ type, apiVersion: subject.apiVersion, kind, namespace, name })
  }
}

function eventType(labelled: LabelTest, before: Stored | undefined, after: Stored | undefined) {
  const wasInside = before !== undefined && labelled(before.metadata.labels)
  const isInside = after !== undefined && labelled(after.metadata.labels)
  if (isInside) return wasInside ? 'update' : 'add'
  return wasInside ? 'delete' : undefined
}
