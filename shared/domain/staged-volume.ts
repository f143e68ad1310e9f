// What is known of a staged disk, and where it stands: on its Download, which lies in Velero's namespace, and on its PersistentVolume. No
// tenant can write either. The status of the CloneFromSnapshot tells people the same; nothing is changed by its word. The sweep reads its
// `downloadName` as a hint whom to wake.

import type { KubeObject } from '#shared/api/kinds.ts'
import { isNamespaceName, isObjectName } from '#shared/api/names.ts'
import type { CloneFromSnapshot, Download, PersistentVolume, ReclaimPolicy } from '#shared/api/types.ts'
import { isOlderThan } from '#shared/kernel/clock.ts'
import { HOUR_MS } from '#shared/kernel/units.ts'
import { backedUpOf } from './backed-up.ts'
import { parseDiskId } from './ids.ts'
import { parseJsonObject } from './json-object.ts'
import { isOfClaim } from './new-volume.ts'
import { isRestoredVolumePlan, type RestoredVolume } from './restored-volume.ts'
import { CLONE_LABEL, stagingClaimName } from './staging.ts'
import { CSI_DRIVER } from './volume.ts'

/** On a Download, JSON: the volume that it fills. */
export const STAGED_VOLUME_ANNOTATION = 'dormouse.dev/staged-volume'
/** On a Download: SHA-256 of the clone's `spec.metadata` as it was when the disk was made. */
export const CLAIM_DIGEST_ANNOTATION = 'dormouse.dev/claim-digest'
/** On a Download, JSON: whom the volume is given to. It is there from before anything is taken away until all is given. */
export const HAND_OVER_ANNOTATION = 'dormouse.dev/hand-over'
/** On a PersistentVolume with the label of a clone: the UID of the staging claim that it is, or was, bound to. */
export const STAGING_CLAIM_ANNOTATION = 'dormouse.dev/staging-claim'
/** Beside it: the Download that fills it. */
export const DOWNLOAD_ANNOTATION = 'dormouse.dev/download'
/** On a PersistentVolume that is somebody else's and was bound to a staging claim: its own reclaim policy. */
export const OWN_POLICY_ANNOTATION = 'dormouse.dev/own-reclaim-policy'

/** The data is whole by then, and its transfer may have taken hours: long enough for a control plane that is being upgraded. */
export const HAND_OVER_DEADLINE_MS = HOUR_MS

export type StagedVolume = {
  name: string
  claimUID: string
  /** Where the staging claim stood; undefined: beside the clone, by an earlier version. */
  namespace?: string | undefined
  /** As the backup says, else as its class wants it; it is `Retain` during the hand-over. */
  reclaimPolicy: ReclaimPolicy
  /** Proved to be new when the Download was made: it reads as zeros where nothing was written. */
  zeroed: boolean
  /** It is there in place of one that was too small for the backup. */
  exchanged?: boolean
}

export function formatStagedVolume(staged: StagedVolume): string {
  return JSON.stringify(staged)
}

/** undefined: it says nothing that could be used, such as one that an older version or an operator made. */
export function stagedVolumeOf(download: Download): StagedVolume | undefined {
  const said = parseJsonObject(download.metadata.annotations?.[STAGED_VOLUME_ANNOTATION])
  const { name, claimUID, namespace, reclaimPolicy, zeroed, exchanged } = said ?? {}
  if (!isObjectName(name) || !isText(claimUID) || !isText(reclaimPolicy)) return undefined
  const backedUp = backedUpOf(download)?.volume?.reclaimPolicy
  return {
    ...{ name, claimUID, reclaimPolicy: backedUp ?? (reclaimPolicy as ReclaimPolicy), zeroed: zeroed === true },
    ...(isNamespaceName(namespace) ? { namespace } : {}),
    ...(exchanged === true ? { exchanged } : {}),
  }
}

/** Zeros need not be written to it. False once another backup's data was. */
export function isZeroed(download: Download): boolean {
  return stagedVolumeOf(download)?.zeroed === true && download.status?.holdsOtherData !== true
}

export type HandOver = {
  /** Name of the claim that gets the volume. */
  target: string
  /** The claim is Velero's and waits for this volume, which is made over the same disk. */
  plan?: RestoredVolume
  /** The volume object as it is made anew, under its own name: Kubernetes lets nobody change what differs. */
  again?: RestoredVolume
  /** When it has begun (RFC 3339); undefined: by an earlier version. */
  since?: string
  /** It was given up, and its disk goes by its volume object: none is made for it any more. */
  over?: boolean
}

export function formatHandOver(handOver: HandOver): string {
  return JSON.stringify(handOver)
}

/** undefined: it has not begun, or has ended. */
export function handOverOf(download: Download): HandOver | undefined {
  const { target, plan, again, since, over } =
    parseJsonObject(download.metadata.annotations?.[HAND_OVER_ANNOTATION]) ?? {}
  if (!isObjectName(target) || !isPlanOrNone(plan) || !isPlanOrNone(again)) return undefined
  return {
    target,
    ...(plan === undefined ? {} : { plan }),
    ...(again === undefined ? {} : { again }),
    ...(isText(since) ? { since } : {}),
    ...(over === true ? { over } : {}),
  }
}

function isPlanOrNone(value: unknown): value is RestoredVolume | undefined {
  return value === undefined || isRestoredVolumePlan(value)
}

/** The claim is never going to be bound, and its disk counts towards no quota meanwhile. */
export function isHandOverLate({ since }: HandOver, nowMs: number): boolean {
  return isOlderThan(HAND_OVER_DEADLINE_MS, Date.parse(since ?? ''), nowMs)
}

/** From now on the Download is what tells of the disk; its finalizer keeps it. */
export function isHandingOver(download: Download | undefined): boolean {
  return download !== undefined && handOverOf(download) !== undefined
}

/** Part of the patch that ends it. */
export const NO_HAND_OVER = { [HAND_OVER_ANNOTATION]: null } as const

/** On a PersistentVolume that was bound to a staging claim and is kept, for people: by which restore, and its own reclaim policy. */
export const KEPT_ANNOTATION = 'dormouse.dev/kept'

export type VolumeState =
  /** As it was provisioned. */
  | 'staged'
  /** Promised to the target by name, or bound to it. */
  | 'given'
  | 'foreign'

/** By the volume as it was read just now; `foreign`: it is not to be changed. */
export function stateOfStaged(
  volume: PersistentVolume,
  {
    clone,
    download,
    staged,
    target,
  }: { clone: CloneFromSnapshot; download: Download; staged: StagedVolume; target: string },
): VolumeState {
  const { namespace } = clone.metadata
  const { csi, claimRef } = volume.spec ?? {}
  const { fcdId } = parseDiskId(download.spec.protectedEntityID)
  if (csi?.driver !== CSI_DRIVER || csi.volumeHandle !== fcdId) return 'foreign'
  const staging = { namespace: staged.namespace ?? namespace, name: stagingClaimName(clone), uid: staged.claimUID }
  if (isOfClaim(volume, staging)) return 'staged'
  return claimRef?.namespace === namespace && claimRef?.name === target ? 'given' : 'foreign'
}

export function isMarkedFor({ metadata }: KubeObject, clone: CloneFromSnapshot): boolean {
  return clone.metadata.uid !== undefined && metadata.labels?.[CLONE_LABEL] === clone.metadata.uid
}

/** Metadata part of a patch: the volume is found by it when nothing else tells of it. */
export function volumeMark(
  clone: CloneFromSnapshot,
  claimUID: string,
): { labels: Record<string, string>; annotations: Record<string, string> } {
  return {
    labels: { [CLONE_LABEL]: clone.metadata.uid ?? '' },
    annotations: { [STAGING_CLAIM_ANNOTATION]: claimUID },
  }
}

export const NO_VOLUME_MARK = {
  labels: { [CLONE_LABEL]: null },
  annotations: { [STAGING_CLAIM_ANNOTATION]: null, [DOWNLOAD_ANNOTATION]: null, [OWN_POLICY_ANNOTATION]: null },
} as const

function isText(value: unknown): value is string {
  return typeof value === 'string' && value !== ''
}

/** Somebody else's volume that Kubernetes has bound to a staging claim: its own reclaim policy is noted on it. */
export function isForeign({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[OWN_POLICY_ANNOTATION] !== undefined
}
