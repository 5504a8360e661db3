/** Reads the dataset in argv, and prints how many rows there were and the most memory that was held outside the heap. */
import { readDataset } from '../../src/datasets/index.ts'

let [records, rejected, peak] = [0, 0, 0]
const look = (): void => {
  peak = Math.max(peak, process.memoryUsage().arrayBuffers)
}
for await (const _ of readDataset(process.argv[2]!, { onRejected: () => rejected++ }))
  if (++records % 1000 === 1) look()
look()
process.stdout.write(JSON.stringify({ records, rejected, peak }))
