// Prepares what config/samples refer to, so that they can be applied unchanged in an environment that stays up.

import path from 'node:path'
import { CLAIM_NAMESPACE_ANNOTATION } from '#shared/domain/repository-claim.ts'
import type { Environment } from './environment.ts'
import { loadManifests } from './kubernetes/manifests.ts'
import { claimRepository, typeOf } from './main-job.ts'
import { VELERO_NAMESPACE } from './options.ts'
import { PROJECT } from './process/tools.ts'
import { noise, prose, writePieces } from './storage/content.ts'

const MIB = 2 ** 20
const SIZE_BYTES = 64 * MIB
const SAMPLES = path.join(PROJECT, 'config/samples')

/** Makes the volume of the sample Snapshot with some data, its repository, and the namespace of the sample restore. */
export async function prepareSamples(environment: Environment): Promise<void> {
  const { kubectlProgram } = environment.parts
  const [snapshot] = await loadManifests(path.join(SAMPLES, 'snapshot.yaml'), kubectlProgram)
  const [clone] = await loadManifests(path.join(SAMPLES, 'clonefromsnapshot.yaml'), kubectlProgram)
  if (snapshot === undefined || clone === undefined)
    throw new Error(`${SAMPLES} holds no snapshot.yaml or clonefromsnapshot.yaml`)
  const { namespace = 'default' } = snapshot.metadata
  const volume = await environment.createVolume({
    namespace,
    name: snapshot['spec'].resourceHandle.name,
    sizeBytes: SIZE_BYTES,
  })
  await writePieces(volume.file, [
    { offsetBytes: 0, data: prose('sample', 16 * MIB) },
    { offsetBytes: 32 * MIB, data: noise('sample', 8 * MIB) },
  ])
  await environment.createNamespace(clone.metadata.namespace ?? 'default')
  await nameRepository(environment, snapshot['spec'].backupRepository)
}

// A repository's name comes from the UID of its claim; the sample has a fixed one, which gets the same parameters.
async function nameRepository(environment: Environment, name: string): Promise<void> {
  const claimed = await claimRepository(environment, { name: 'brc-environment' })
  const repository = await environment.api.get({ ...typeOf('BackupRepository'), name: claimed })
  const { metadata: _, ...rest } = repository!
  await environment.api.apply({
    ...rest,
    ...typeOf('BackupRepository'),
    metadata: { name, annotations: { [CLAIM_NAMESPACE_ANNOTATION]: VELERO_NAMESPACE } },
  })
}
