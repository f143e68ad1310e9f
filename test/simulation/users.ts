// What users ask for in one run, in any order and at any moment: backups, restores, cancels, deletions, losses.

import type { KindName } from '#shared/api/kinds.ts'
import { KiB, MINUTE_MS } from '#shared/kernel/units.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import type { Choices } from './choices.ts'
import { noiseOf } from './choices.ts'
import { NEVER_BINDS } from './csi-driver.ts'
import type { FaultPlan } from './fault-plan.ts'
import { aClone, aDelete, aSnapshot, aVolume, aWaitingClaim, isDone, SIZE_BYTES } from './objects.ts'
import type { Stepped, World } from './world.ts'

/** `may`: the phases in which it may end, by all that users asked for. `gone`: its object was deleted. */
export type Backup = {
  name: string
  uid: string
  claim: string
  localMode: boolean
  may: Set<string>
  gone: boolean
  deleteAsked: boolean
}
export type Restore = {
  name: string
  namespace: string
  from: Backup
  byVelero: boolean
  may: Set<string>
  gone: boolean
  claimLost?: boolean
}

const MOST_VOLUMES = 3
const MOST_ACTIONS = 10
/** The most turns between two actions. */
const MOST_TURNS = 60
const OUTAGE_MS = 30 * MINUTE_MS
const BLOCK_BYTES = 64 * KiB
const APP = 'app'

export function planOf(choices: Choices): FaultPlan {
  const level = (name: string, values: readonly [number, ...number[]]) => {
    return values[choices.below(`plan: ${name}`, values.length)] ?? values[0]
  }
  return {
    drop: level('events lost', [0, 0.1, 0.3]),
    double: level('events doubled', [0, 0.2, 0.5]),
    die: level('deaths', [0, 0.005, 0.02, 0.05]),
    latencyTurns: level('calls latencyTurns', [0, 2, 6]),
    trouble: level('troubles', [0, 0.004, 0.012, 0.03]),
    most: 16,
    clocks: level('clocks', [0, 0, 0, 0.02]),
    ...slownessOf(level),
  }
}

/** In half of all runs calls take no time. The first value of each level is the one that was fixed when older lists were recorded. */
function slownessOf(level: (name: string, values: readonly [number, ...number[]]) => number): Partial<FaultPlan> {
  const hang = level('calls that never return', [0, 0, 0.002, 0.008])
  return {
    pace: level('pace of calls', [0, 0, 1, 10, 60]),
    slow: level('slow calls', [0, 0, 0.004, 0.02]),
    hang,
    mostDelays: 4,
    skew: level('clocks that differ', [0, 0, 0.3, 0.8]),
    jump: level('clocks that jump a year', [0, 0, 0.001, 0.01]),
    limits: level('limits of requests', [0, 1]) + hang > 0,
  }
}

export class Users {
  readonly world: World
  readonly backups: Backup[] = []
  readonly restores: Restore[] = []
  readonly deletes: string[] = []
  readonly volumes: { claim: string; fcdId: string; lost: boolean }[] = []
  readonly #actions: readonly (() => void | Promise<void>)[]
  #count = 0

  constructor(world: World) {
    this.world = world
    // Keep the order: recorded choices are indexes into this list. Append new entries.
    this.#actions = [
      () => this.#backUp(),
      () => this.#restore(),
      () => this.#backUp(),
      () => this.#restore(),
      () => this.#cancelSnapshot(),
      () => this.#cancelUpload(),
      () => this.#cancelClone(),
      () => this.#deleteBackup(),
      () => this.#deleteBackup(),
      () => this.#loseObject('Snapshot'),
      () => this.#loseObject('Upload'),
      () => this.#loseObject('CloneFromSnapshot'),
      () => this.#loseObject('Download'),
      () => this.#loseRestoredNamespace(),
      () => this.#loseVolume(),
      () => this.#backUp(true),
      () => this.#restore({ storageClass: NEVER_BINDS }),
      () => this.#cancelInBackOff(),
      () => this.#loseBackupInFlight(),
      () => this.#loseRestoreInFlight(),
      () => this.#restore({ byVelero: true }),
      () => this.#restore({ byVelero: true }),
      () => this.#loseRestoreInFlight({ byVelero: true }),
      () => this.#loseWaitingClaim(),
    ]
  }

  async act(): Promise<void> {
    const { choices } = this.world
    for (let volume = 0; volume <= this.#below('more volumes', MOST_VOLUMES); volume++) this.#makeVolume()
    for (let actions = 3 + this.#below('more actions', MOST_ACTIONS); actions > 0; actions--) {
      await this.#actions[this.#below('action', this.#actions.length)]?.()
      if (choices.chance('until it is quiet', 0.3)) await this.world.run(() => this.world.isQuiet())
      else for (let turns = this.#below('turns', MOST_TURNS); turns > 0; turns--) await this.world.turn()
    }
  }

  #below(name: string, limit: number): number {
    return this.world.choices.below(`user: ${name}`, limit)
  }

  #one<T>(name: string, list: readonly T[]): T | undefined {
    return list[this.#below(name, Math.max(1, list.length))]
  }

  #makeVolume(): void {
    const claim = `data-${this.volumes.length}`
    const fcdId = aVolume(this.world, claim)
    this.volumes.push({ claim, fcdId, lost: false })
    this.#write(fcdId, 3)
    this.world.foreign.takeSnapshot(fcdId)
  }

  #write(fcdId: string, blocks: number): void {
    for (let n = 0; n < blocks; n++) {
      const at = this.#below('which block', SIZE_BYTES / BLOCK_BYTES) * BLOCK_BYTES
      this.world.volumes.write(fcdId, at, noiseOf(`data ${this.#count++}`, BLOCK_BYTES))
    }
  }

  #backUp(localMode = false): void {
    const volume = this.#one(
      'volume',
      this.volumes.filter(({ lost }) => !lost),
    )
    if (volume === undefined) return
    const name = `snap-${this.backups.length}`
    this.#write(volume.fcdId, 1)
    aSnapshot(this.world, name, volume.claim, localMode ? '' : undefined)
    const may = new Set([localMode ? 'Snapshotted' : 'Uploaded'])
    const uid = this.world.cluster.peek('Snapshot', APP, name)?.metadata.uid ?? ''
    this.backups.push({ name, uid, claim: volume.claim, localMode, may, gone: false, deleteAsked: false })
  }

  /** For restores and deletions of anything that has an id: what is not (or no longer) in the repository fails by name. */
  #restore({ storageClass, byVelero = false }: { storageClass?: string; byVelero?: boolean } = {}): void {
    const known = this.backups.filter((backup) => hasId(this.snapshotOf(backup)) && !backup.localMode)
    const from = this.#one('backup to restore', known)
    const snapshot = from === undefined ? undefined : this.snapshotOf(from)
    if (from === undefined || snapshot === undefined) return
    const name = `clone-${this.restores.length}`
    const namespace = `restored-${this.restores.length}`
    const awaits = byVelero ? `dormouse-${namespace}` : undefined
    const clone = aClone(this.world, name, snapshot, { storageClass, namespace, awaits })
    if (awaits !== undefined) aWaitingClaim(this.world, clone)
    const isSure = snapshot['status'].phase === 'Uploaded' && !from.deleteAsked
    const may = storageClass === undefined ? ['Completed', ...(isSure ? [] : ['Failed'])] : ['Failed']
    this.restores.push({ name, namespace, from, byVelero, may: new Set(may), gone: false })
  }

  async #cancelSnapshot(): Promise<void> {
    const backup = this.#one('backup to cancel', this.backups)
    const snapshot = backup === undefined ? undefined : this.snapshotOf(backup)
    if (backup === undefined || snapshot === undefined) return
    await this.#edit('Snapshot', snapshot, { snapshotCancel: true })
    this.#mayBeCanceled(backup)
  }

  async #cancelUpload(): Promise<void> {
    const upload = this.#one('upload to cancel', this.world.cluster.peekAll('Upload'))
    if (upload === undefined) return
    await this.#edit('Upload', upload, { uploadCancel: true })
    this.#mayBeCanceled(this.#backupOf(upload))
  }

  /** The bucket is away for so long that the next attempt is minutes off; then the user cancels. */
  async #cancelInBackOff(): Promise<void> {
    const { cluster, faults } = this.world
    faults.leave('store', OUTAGE_MS)
    this.#backUp()
    const waits = () =>
      cluster.peekAll('Upload').find((each) => Number(each['status']?.retryCount) >= 4 && !isDone(each))
    await this.world.run(() => waits() !== undefined || this.world.isQuiet())
    const upload = waits()
    if (upload === undefined) return
    await this.#edit('Upload', upload, { uploadCancel: true })
    this.#mayBeCanceled(this.#backupOf(upload))
  }

  /** From now on the backup may end as Canceled. */
  #mayBeCanceled(backup: Backup | undefined): void {
    backup?.may.add('Canceled')
  }

  async #cancelClone(): Promise<void> {
    const restore = this.#one('restore to cancel', this.restores)
    const clone = restore === undefined ? undefined : this.cloneOf(restore)
    if (clone === undefined) return
    await this.#edit('CloneFromSnapshot', clone, { cloneCancel: true })
    restore?.may.add('Canceled')
  }

  #deleteBackup(): void {
    const known = this.backups.filter((backup) => hasId(this.snapshotOf(backup)))
    const backup = this.#one('backup to delete', known)
    const snapshot = backup === undefined ? undefined : this.snapshotOf(backup)
    if (backup === undefined || snapshot === undefined) return
    const name = `delete-${this.deletes.length}`
    aDelete(this.world, name, snapshot)
    this.deletes.push(name)
    backup.deleteAsked = true
    for (const phase of ['Canceled', 'UploadFailedAfterRetry']) backup.may.add(phase)
    for (const restore of this.restores) if (restore.from === backup) restore.may.add('Failed')
  }

  async #loseObject(kind: KindName): Promise<void> {
    const object = this.#one(`${kind} to delete`, this.world.cluster.peekAll(kind))
    if (object === undefined) return
    await this.#lose(kind, object)
  }

  /** Deletes both of its objects, as with their namespaces, while the backup is being made. */
  async #loseBackupInFlight(): Promise<void> {
    const { cluster, faults } = this.world
    if (this.world.choices.chance('user: in an outage', 0.5)) faults.leave('store', OUTAGE_MS / 3)
    const count = this.backups.length
    this.#backUp()
    const backup = this.backups[count]
    if (backup === undefined) return
    const upload = () => cluster.peekAll('Upload').find((each) => this.#backupOf(each) === backup)
    await this.#turnsUntil(() => upload()?.metadata.finalizers !== undefined)
    const [snapshot, moving] = [this.snapshotOf(backup), upload()]
    if (snapshot !== undefined) await this.#lose('Snapshot', snapshot)
    if (moving !== undefined) await this.#lose('Upload', moving)
  }

  async #loseRestoreInFlight(how: { byVelero?: boolean } = {}): Promise<void> {
    const count = this.restores.length
    this.#restore(how)
    const restore = this.restores[count]
    if (restore === undefined) return
    await this.#turnsUntil(() => this.cloneOf(restore)?.['status']?.volumeName !== undefined)
    const clone = this.cloneOf(restore)
    if (clone !== undefined) await this.#lose('CloneFromSnapshot', clone)
  }

  /** At any moment of its restore, and perhaps of the hand-over. */
  async #loseWaitingClaim(): Promise<void> {
    const count = this.restores.length
    this.#restore({ byVelero: true })
    const restore = this.restores[count]
    if (restore === undefined) return
    const { cluster, choices } = this.world
    const late = choices.chance('user: late', 0.5)
    await this.#turnsUntil(() => (this.cloneOf(restore)?.['status']?.restoredVolume !== undefined) === late)
    const claim = cluster.peek('PersistentVolumeClaim', restore.namespace, restore.from.claim)
    if (claim === undefined) return
    await cluster.delete('PersistentVolumeClaim', claim)
    restore.may.add('Failed')
    restore.claimLost = true
  }

  /** Runs until `done`, or until nothing happens any more, and then plays a few more turns. */
  async #turnsUntil(done: () => boolean): Promise<void> {
    await this.world.run(() => done() || this.world.isQuiet())
    for (let turns = this.#below('turns before the loss', MOST_TURNS); turns > 0; turns--) await this.world.turn()
  }

  async #lose(kind: KindName, object: LooseObject): Promise<void> {
    await this.world.cluster.delete(kind, object)
    const { name } = object.metadata
    if (kind === 'Upload') {
      const backup = this.#backupOf(object)
      for (const phase of ['Canceled', 'UploadFailedAfterRetry']) backup?.may.add(phase)
    }
    if (kind === 'Snapshot') for (const backup of this.backups) if (backup.name === name) backup.gone = true
    for (const restore of this.restores) {
      if (kind === 'CloneFromSnapshot' && restore.name === name) restore.gone = true
      if (kind === 'Download' && object['spec'].clonefromSnapshotReference.endsWith(`/${restore.name}`))
        restore.may.add('Failed')
    }
  }

  async #loseRestoredNamespace(): Promise<void> {
    const restore = this.#one('namespace to lose', this.restores)
    if (restore === undefined) return
    const inIt = (object: LooseObject) => object.metadata.namespace === restore.namespace
    for (const kind of ['CloneFromSnapshot', 'PersistentVolumeClaim'] as const) {
      for (const object of this.world.cluster.peekAll(kind).filter(inIt)) await this.#lose(kind, object)
    }
    restore.gone = true
  }

  /** Deletes the claim, and with it the disk and its local snapshots: only what is in the bucket is left. */
  async #loseVolume(): Promise<void> {
    const volume = this.#one('volume to lose', this.volumes)
    const claim = volume && this.world.cluster.peek('PersistentVolumeClaim', APP, volume.claim)
    if (volume === undefined || claim === undefined) return
    await this.world.cluster.delete('PersistentVolumeClaim', claim)
    volume.lost = true
    for (const backup of this.backups.filter((each) => each.claim === volume.claim)) {
      for (const phase of ['SnapshotFailed', 'UploadFailedAfterRetry']) backup.may.add(phase)
    }
  }

  /** Patches as `kubectl patch` does: without a resourceVersion. */
  async #edit(kind: Stepped, { metadata: { namespace, name } }: LooseObject, spec: object): Promise<void> {
    this.world.asked.cancel(kind, namespace, name)
    await this.world.cluster.patch(kind, { metadata: { namespace, name } } as LooseObject, { spec })
  }

  snapshotOf(backup: Backup): LooseObject | undefined {
    return this.world.cluster.peek('Snapshot', APP, backup.name)
  }

  cloneOf(restore: Restore): LooseObject | undefined {
    return this.world.cluster.peek('CloneFromSnapshot', restore.namespace, restore.name)
  }

  #backupOf(upload: LooseObject): Backup | undefined {
    return this.backups.find((backup) => upload['spec'].snapshotReference === `${APP}/${backup.name}`)
  }
}

function hasId(snapshot: LooseObject | undefined): boolean {
  const id = snapshot?.['status']?.snapshotID
  return typeof id === 'string' && id !== ''
}
