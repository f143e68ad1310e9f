// Wires the repository function.

import { serve } from '#shared/runtime/serve.ts'
import { accessOfParameters } from '#shared/steps/repository-access.ts'
import { wireLight } from '#shared/wiring/light.ts'
import { wireRepositories } from '#shared/wiring/repositories.ts'
import { handleRepository } from './handler.ts'

const { deps, log, metrics } = wireLight('repository')
const wired = {
  ...wireRepositories(deps),
  accessOf: (parameters: Record<string, string>) => accessOfParameters(deps, parameters),
}
await serve({
  name: 'repository',
  kinds: ['BackupRepositoryClaim'],
  handle: (context, ref, signal) => handleRepository(context, ref, { ...wired, log: context.log }, signal),
  log,
  metrics,
})
