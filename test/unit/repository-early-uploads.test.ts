// An upload that came before its repository is tried again when the repository exists; other uploads are not.

import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { MemoryCluster } from '#shared/adapters/memory/cluster.ts'
import type { StepDeps } from '#shared/controllers/deps.ts'
import { readSettings } from '#shared/kernel/env.ts'
import { RetryableError } from '#shared/kernel/errors.ts'
import { stores } from '#test/support/stores.ts'
import { wakeEarlyUploads } from '../../functions/repository/early-uploads.ts'

const early = suite('uploads before their repository')

const NOW = '2026-11-26T12:00:00Z'
const LATER = '2026-11-26T12:01:00Z'

function aCluster() {
  const warnings: string[] = []
  const clock = { nowMs: () => Date.parse(NOW), monotonicMs: () => 0, sleep: async () => undefined }
  const cluster = new MemoryCluster({ clock })
  const log = { debug() {}, info() {}, error() {}, warn: (_: object, line: string) => void warnings.push(line) }
  const deps = { cluster, clock, settings: readSettings({}), stores, identity: 'x', log } as unknown as StepDeps
  const upload = (name: string, backupRepository: string, phase: string, reason: string) =>
    cluster.seed('Upload', {
      apiVersion: 'datamover.cnsdp.vmware.com/v1alpha1',
      kind: 'Upload',
      metadata: { name, namespace: 'velero', labels: { 'dormouse.dev/step': 'waiting' } },
      spec: { backupRepository },
      status: { phase, reason, nextRetryTimestamp: LATER },
    })
  const due = () => {
    const uploads = cluster.peekAll('Upload')
    return uploads.filter(({ metadata }) => metadata.labels?.['dormouse.dev/step'] === 'upload')
  }
  const namesOfDue = () => due().map(({ metadata }) => metadata.name)
  return { cluster, deps, upload, due, namesOfDue, warnings }
}

early(
  'uploads that failed for the missing repository are due at once, whether its object or its bucket was missing',
  async () => {
    const { deps, upload, due, namesOfDue } = aCluster()
    upload('a', 'br-1', 'UploadError', 'RepositoryNotFound')
    upload('b', 'br-1', 'UploadError', 'RepositoryMissing')
    await wakeEarlyUploads(deps, 'br-1')
    assert.equal(namesOfDue(), ['a', 'b'])
    for (const { metadata, ...upload } of due()) {
      assert.is(Date.parse(metadata.annotations?.['dormouse.dev/due'] ?? ''), Date.parse(NOW))
      assert.is(Date.parse(upload['status']?.nextRetryTimestamp ?? ''), Date.parse(NOW), 'else it would wait on')
    }
  },
)

early('uploads of another repository, with another failure, running or over stay as they are', async () => {
  const { deps, upload, namesOfDue } = aCluster()
  upload('other', 'br-2', 'UploadError', 'RepositoryNotFound')
  upload('trouble', 'br-1', 'UploadError', 'StoreUnreachable')
  upload('at-work', 'br-1', 'InProgress', 'RepositoryNotFound')
  upload('over', 'br-1', 'UploadFailedAfterRetry', 'RepositoryNotFound')
  await wakeEarlyUploads(deps, 'br-1')
  assert.equal(namesOfDue(), [])
})

early('an error with an upload is no error of the repository', async () => {
  const { cluster, deps, upload, namesOfDue, warnings } = aCluster()
  upload('a', 'br-1', 'UploadError', 'RepositoryNotFound')
  cluster.failNext({
    verb: 'patch',
    kind: 'Upload',
    error: new RetryableError('KubernetesUnavailable', 'away', { origin: 'api' }),
  })
  await wakeEarlyUploads(deps, 'br-1')
  assert.equal(namesOfDue(), [])
  assert.match(warnings.join(), 'could not wake')
})

early.run()
