// Wires the repository function.

import type { BackupRepository } from '#shared/api/types.ts'
import { accessOfClaimed } from '#shared/controllers/repository-access.ts'
import { serve } from '#shared/runtime/serve.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { wireRepositories } from '#shared/wiring/repositories.ts'
import { handleRepository } from './handler.ts'

const { deps, log, metrics } = wireLight('repository')
const wired = {
  ...wireRepositories(deps),
  accessOf: (repository: BackupRepository) => accessOfClaimed(deps, repository),
}
await serve({
  name: 'repository',
  kinds: ['BackupRepositoryClaim'],
  handle: (context, ref, signal) => handleRepository(context, ref, { ...wired, log: context.log }, signal),
  log,
  metrics,
})
