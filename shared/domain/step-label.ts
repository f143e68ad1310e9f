// The step label includes objects in the ApiServerSources' selectors or excludes them; the due annotation tells the sweep when to look.
// Names and meaning: docs/design/0001-shape.md.

import { KINDS, type KubeObject, STEPPED_KINDS, type Step } from '#shared/api/kinds.ts'
import type { SteppedObject } from '#shared/api/types.ts'
import { rfc3339 } from '#shared/kernel/clock.ts'

export const STEP_LABEL = 'dormouse.dev/step'
export const DUE_ANNOTATION = 'dormouse.dev/due'
export const FINALIZER = 'dormouse.dev/object'

/** Values that keep an object out of every source's selector. */
export const PARKED = ['running', 'queued', 'waiting', 'done'] as const
export type StepLabel = Step | (typeof PARKED)[number]

/** True if a function works on objects of this kind and API group. Other groups have a kind Snapshot too. */
export function isStepped(object: KubeObject): object is SteppedObject {
  return STEPPED_KINDS.some((kind) => KINDS[kind].kind === object.kind && KINDS[kind].apiVersion === object.apiVersion)
}

export function stepOf(object: KubeObject): string | undefined {
  return object.metadata.labels?.[STEP_LABEL]
}

/**
 * When the object became, or becomes, due. Without the annotation, it has been due since its creation. An unreadable time counts as always
 * due.
 */
export function dueMs(object: KubeObject): number {
  const text = object.metadata.annotations?.[DUE_ANNOTATION] ?? object.metadata.creationTimestamp
  const ms = Date.parse(text ?? '')
  return Number.isNaN(ms) ? 0 : ms
}

export function hasDueTime(object: KubeObject): boolean {
  return object.metadata.annotations?.[DUE_ANNOTATION] !== undefined
}

/** The metadata part of a merge patch that sets the label; `dueAtMs` undefined removes the annotation. */
export function stepPatch(
  step: StepLabel,
  dueAtMs?: number,
): { labels: Record<string, string>; annotations: Record<string, string | null> } {
  return {
    labels: { [STEP_LABEL]: step },
    annotations: { [DUE_ANNOTATION]: dueAtMs === undefined ? null : rfc3339(dueAtMs) },
  }
}

/** The metadata part of the patch that begins a step: it takes the object out of every source's selector and adds the finalizer. */
export function runningMetadata(object: KubeObject): object {
  return { ...stepPatch('running'), finalizers: withFinalizer(object) }
}

export function holdsFinalizer(object: KubeObject): boolean {
  return object.metadata.finalizers?.includes(FINALIZER) === true
}

export function withFinalizer(object: KubeObject): string[] {
  return holdsFinalizer(object)
    ? [...(object.metadata.finalizers ?? [])]
    : [...(object.metadata.finalizers ?? []), FINALIZER]
}

/** null if no finalizer is left, as a merge patch requires. */
export function withoutFinalizer(object: KubeObject): string[] | null {
  const left = (object.metadata.finalizers ?? []).filter((name) => name !== FINALIZER)
  return left.length === 0 ? null : left
}

export function isBeingDeleted(object: KubeObject): boolean {
  return object.metadata.deletionTimestamp !== undefined
}
