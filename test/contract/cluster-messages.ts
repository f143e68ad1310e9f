// A status has to take a message of a server at any length and in any script: a write that is refused for its message would be refused for ever.

import * as assert from 'uvu/assert'
import type { KindName } from '#shared/api/kinds.ts'
import { announce } from '#shared/controllers/announce.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { systemClock } from '#shared/kernel/clock.ts'
import type { Cluster } from '#shared/ports/cluster.ts'
import type { LooseObject } from '#test/support/loose-object.ts'
import { anObject, anUpload, aRepository, aSnapshot, CLONE_SPEC } from './cluster-suite.ts'

/** 100,000 characters of two UTF-16 units each; once shifted by one unit, so that a pair lies across each place where a message is cut. */
const LONG = ['', 'x'].map((start) => `${start}${'😀'.repeat(100_000)}`)
const SHOWN = /^x?(😀)+…$/u

/** One object of each kind whose status has messages. */
function objectsWithMessages(namespace: string): LooseObject[] {
  const { repositoryDriver, repopsitoryParameters } = aRepository()
  const download = { snapshotID: 'ivd:a:b', backupRepositoryName: 'br', restoreTimestamp: '2026-11-21T00:00:00Z' }
  return [
    aSnapshot(namespace),
    anUpload(namespace),
    anObject('CloneFromSnapshot', namespace, { spec: CLONE_SPEC }),
    anObject('Download', namespace, { spec: download }),
    anObject('DeleteSnapshot', namespace, { spec: { snapshotID: 'pvc:a/b:c', backupRepository: 'br' } }),
    aRepository(),
    anObject('BackupRepositoryClaim', namespace, { repositoryDriver, repopsitoryParameters }),
  ]
}

export async function messagesAreTaken(cluster: Cluster, namespace: string): Promise<void> {
  for (const message of LONG) {
    for (const object of objectsWithMessages(namespace)) {
      const kind = object.kind as KindName
      const seen = await cluster.create(kind, object)
      const written = await cluster.patchStatus(kind, seen, statusWith(kind, message))
      const { message: shown, conditions } = (written as LooseObject)['status']
      for (const text of [conditions[0].message, ...(hasMessage(kind) ? [shown] : [])])
        assert.match(text, SHOWN, `${kind}: …${text.slice(-5)}`)
    }
  }
}

function statusWith(kind: KindName, message: string): object {
  const said = { reason: 'S3Unavailable', message }
  const condition = { type: 'Ready', status: 'False', ...said, lastTransitionTime: '2026-11-21T00:00:00Z' }
  return { ...(hasMessage(kind) ? said : {}), conditions: [condition] }
}

function hasMessage(kind: KindName): boolean {
  return kind !== 'BackupRepository' && kind !== 'BackupRepositoryClaim'
}

export async function eventsAreTaken(cluster: Cluster, namespace: string): Promise<void> {
  const { metadata, ...beside } = await cluster.create('Upload', anUpload(namespace))
  const refusals: object[] = []
  const log = { warn: (fields: object) => void refusals.push(fields) }
  const deps = { cluster, clock: systemClock, log } as unknown as StepDeps
  const object = { ...beside, metadata, kind: 'Upload' } as LooseObject
  for (const message of LONG) await announce(deps, object, 'Warning', 'S3Unavailable', message)
  assert.equal(refusals, [])
  const events = await cluster.list('Event', { namespace })
  const own = events.filter((event) => event['involvedObject']?.uid === metadata.uid)
  assert.is(own.length, LONG.length)
  for (const event of own) assert.match(event['message']!, SHOWN)
}
