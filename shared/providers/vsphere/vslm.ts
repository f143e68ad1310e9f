// The methods of vCenter's disk service (vslm) that Dormouse uses, in values instead of XML. Names and order of parameters:
// docs/development/vsphere.md#methods. This file throws VSphereFault unchanged; vcenter.ts interprets it.

import { RetryableError } from '#shared/kernel/errors.ts'
import { MiB } from '#shared/kernel/units.ts'
import type { Extent } from '#shared/ports/disk.ts'
import type { FcdSnapshot, VolumeFacts } from '#shared/ports/volumes.ts'
import type { Session } from './session.ts'
import { morefOf, VSLM } from './soap.ts'
import { childOf, element, integerOf, listOf, textOf, type Xml, type XmlContent, type XmlObject } from './xml.ts'

type FoundVolume = { facts: VolumeFacts; thumbprintSha1: string }

/** One answer about changed areas covers only a part of a large disk. */
export type ChangedPart = { startBytes: number; lengthBytes: number; areas: Extent[] }

const CHANGE_TRACKING_FLAG = 'enableChangedBlockTracking'

export class Vslm {
  readonly #session: Session
  readonly #vcenter: string

  constructor(session: Session, vcenter: string) {
    this.#session = session
    this.#vcenter = vcenter
  }

  async retrieve(fcdId: string): Promise<FoundVolume> {
    const method = 'VslmRetrieveVStorageObject'
    const { response, thumbprintSha1 } = await this.#call(method, true, id('id', fcdId))
    const config = childOf(childOf(response, 'returnval'), 'config')
    const name = textOf(config, 'name')
    const capacityMib = integerOf(config, 'capacityInMB')
    const datastore = morefOf(childOf(config, 'backing'), 'datastore')
    const isOther = textOf(childOf(config, 'id'), 'id')?.toLowerCase() !== fcdId.toLowerCase()
    if (isOther || name === undefined || capacityMib === undefined || datastore === undefined)
      throw this.#incomplete(method)
    const changedBlockTracking = textOf(config, 'changedBlockTrackingEnabled') === 'true'
    const facts = { fcdId, name, capacityBytes: capacityMib * MiB, datastoreMoref: datastore.id, changedBlockTracking }
    return { facts: { ...facts, vcenter: this.#vcenter }, thumbprintSha1 }
  }

  async snapshots(fcdId: string): Promise<FcdSnapshot[]> {
    const method = 'VslmRetrieveSnapshotInfo'
    const { response } = await this.#call(method, true, id('id', fcdId))
    // A disk without snapshots gives an empty value. No value at all is no answer: otherwise an existing snapshot would count as gone.
    const [info, ...more] = listOf(response, 'returnval')
    if (info === undefined || more.length > 0) throw this.#incomplete(method)
    return listOf(info, 'snapshots').map((snapshot) => {
      const snapshotId = textOf(childOf(snapshot, 'id'), 'id')
      const createdMs = Date.parse(textOf(snapshot, 'createTime') ?? '')
      if (snapshotId === undefined || Number.isNaN(createdMs)) throw this.#incomplete(method)
      return { snapshotId, description: textOf(snapshot, 'description') ?? '', createdMs }
    })
  }

  /** The started task's id. */
  async createSnapshot(fcdId: string, description: string): Promise<string> {
    return this.#start('VslmCreateSnapshot_Task', id('id', fcdId), element('description', {}, description))
  }

  async deleteSnapshot(fcdId: string, snapshotId: string): Promise<string> {
    return this.#start('VslmDeleteSnapshot_Task', id('id', fcdId), id('snapshotId', snapshotId))
  }

  /** undefined: no change tracking for this snapshot. */
  async changeId(fcdId: string, snapshotId: string): Promise<string | undefined> {
    const { response } = await this.#call(
      'VslmRetrieveSnapshotDetails',
      true,
      id('id', fcdId),
      id('snapshotId', snapshotId),
    )
    const changeId = textOf(childOf(response, 'returnval'), 'changedBlockTrackingId')
    return changeId === '' ? undefined : changeId
  }

  async changedPart(fcdId: string, snapshotId: string, startBytes: number, changeId: string): Promise<ChangedPart> {
    const method = 'VslmQueryChangedDiskAreas'
    const { response } = await this.#call(
      method,
      true,
      id('id', fcdId),
      id('snapshotId', snapshotId),
      element('startOffset', {}, startBytes),
      element('changeId', {}, changeId),
    )
    const answer = childOf(response, 'returnval')
    const start = integerOf(answer, 'startOffset')
    const lengthBytes = integerOf(answer, 'length')
    if (start === undefined || lengthBytes === undefined) throw this.#incomplete(method)
    const areas = listOf(answer, 'changedArea').map((area) => {
      const offset = integerOf(area, 'start')
      const length = integerOf(area, 'length')
      if (offset === undefined || length === undefined) throw this.#incomplete(method)
      return { offsetBytes: offset, lengthBytes: length }
    })
    return { startBytes: start, lengthBytes, areas }
  }

  /** Clearing names the flag as well: an empty list would clear all of them. */
  async setChangeTracking(fcdId: string, on: boolean): Promise<void> {
    const method = on ? 'VslmSetVStorageObjectControlFlags' : 'VslmClearVStorageObjectControlFlags'
    await this.#call(method, true, id('id', fcdId), element('controlFlags', {}, CHANGE_TRACKING_FLAG))
  }

  async #start(method: string, ...parameters: XmlContent[]): Promise<string> {
    const { response } = await this.#call(method, false, ...parameters)
    const task = morefOf(response, 'returnval')
    if (task === undefined) throw this.#incomplete(method)
    return task.id
  }

  async #call(
    method: string,
    repeatable: boolean,
    ...parameters: XmlContent[]
  ): Promise<{ response: XmlObject; thumbprintSha1: string }> {
    const on = await this.#session.disks()
    return this.#session.call({ service: VSLM, method, on, parameters, repeatable })
  }

  #incomplete(method: string): RetryableError {
    return new RetryableError(
      'VCenterAnswerUnreadable',
      `vCenter ${this.#vcenter} leaves out what ${method} has to tell`,
    )
  }
}

/** vSphere's type ID: `<snapshotId><id>…</id></snapshotId>`. */
function id(name: string, value: string): Xml {
  return element(name, {}, element('id', {}, value))
}
