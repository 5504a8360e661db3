/** Fetches the model of the first argument with the environment's settings, and prints where it is. */
import { fetchModel, modelReference } from '../../src/hub/index.ts'

process.stdout.write(`started\n`)
process.stdout.write(`${await fetchModel(modelReference(process.argv[2]!)!)}\n`)
