// The records of a staged disk: on its Download, which lies in Velero's namespace, and on its PersistentVolume. No tenant can write either.
// The status of the CloneFromSnapshot shows people the same, but no change is based on it. The sweep uses its `downloadName` only as a hint
// which object to wake.

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
/**
 * On a Download, JSON: the hand-over, with the claim that gets the volume. Present from before anything is taken away until the hand-over
 * ends.
 */
export const HAND_OVER_ANNOTATION = 'dormouse.dev/hand-over'
/** On a PersistentVolume with the label of a clone: the UID of the staging claim that it is, or was, bound to. */
export const STAGING_CLAIM_ANNOTATION = 'dormouse.dev/staging-claim'
/** On the same volume: the Download that fills it. */
export const DOWNLOAD_ANNOTATION = 'dormouse.dev/download'
/** On a PersistentVolume that Dormouse did not make and that was bound to a staging claim: its own reclaim policy. */
export const OWN_POLICY_ANNOTATION = 'dormouse.dev/own-reclaim-policy'

/** The data is complete by then, and its transfer may have taken hours. The time is long enough for an upgrade of the control plane. */
export const HAND_OVER_DEADLINE_MS = HOUR_MS

export type StagedVolume = {
  name: string
  claimUID: string
  /** The namespace of the staging claim; undefined: an earlier version made it in the clone's namespace. */
  namespace?: string | undefined
  /** The policy from the backup, else that of the class. The volume itself has `Retain` during the hand-over. */
  reclaimPolicy: ReclaimPolicy
  /** The volume was proved to be new when the Download was made: it reads as zeros where nothing was written. */
  zeroed: boolean
  /** The disk replaces one that was too small for the backup. */
  exchanged?: boolean
}

export function formatStagedVolume(staged: StagedVolume): string {
  return JSON.stringify(staged)
}

/** undefined: the annotation has no usable value, for example because an older version or an operator made the Download. */
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

/** Zeros need not be written to the disk. False once another backup's data was written to it. */
export function isZeroed(download: Download): boolean {
  return stagedVolumeOf(download)?.zeroed === true && download.status?.holdsOtherData !== true
}

export type HandOver = {
  /** Name of the claim that gets the volume. */
  target: string
  /** The claim was made by Velero and waits for this volume, which is created over the same disk. */
  plan?: RestoredVolume
  /** The volume object that is created again under its own name, because Kubernetes does not allow its fields to change. */
  again?: RestoredVolume
  /** When the hand-over began (RFC 3339); undefined: an earlier version began it. */
  since?: string
  /** The hand-over was given up, and the disk is deleted through its volume object. No further volume object is created for it. */
  over?: boolean
}

export function formatHandOver(handOver: HandOver): string {
  return JSON.stringify(handOver)
}

/** undefined: the hand-over has not begun, or has ended. */
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

/** After the deadline, the claim will not be bound any more, and its disk counts towards no quota meanwhile. */
export function isHandOverLate({ since }: HandOver, nowMs: number): boolean {
  return isOlderThan(HAND_OVER_DEADLINE_MS, Date.parse(since ?? ''), nowMs)
}

/** From now on the Download records the disk, and its finalizer keeps it. */
export function isHandingOver(download: Download | undefined): boolean {
  return download !== undefined && handOverOf(download) !== undefined
}

/** Part of the patch that ends the hand-over. */
export const NO_HAND_OVER = { [HAND_OVER_ANNOTATION]: null } as const

/** On a PersistentVolume that was bound to a staging claim and is kept, for people: the restore, and the volume's own reclaim policy. */
export const KEPT_ANNOTATION = 'dormouse.dev/kept'

type VolumeState =
  /** As it was provisioned. */
  | 'staged'
  /** Reserved for the target by name, or bound to it. */
  | 'given'
  | 'foreign'

/** Decided from the volume as it was just read. `foreign`: the volume must not be changed. */
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

/** Metadata part of a patch. The mark finds the volume when no other record of it exists. */
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

/** True for a volume that Dormouse did not make but Kubernetes bound to a staging claim: its own reclaim policy is recorded on it. */
export function isForeign({ metadata }: KubeObject): boolean {
  return metadata.annotations?.[OWN_POLICY_ANNOTATION] !== undefined
}
