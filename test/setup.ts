import fc from 'fast-check';

// One seed for every property of a run: printed, and set again with SEED=.
const seed = process.env['SEED'] === undefined ? Date.now() % 2 ** 31 : Number(process.env['SEED']);
fc.configureGlobal({ seed, numRuns: Number(process.env['RUNS'] ?? 100) });
if (process.env['VITEST_POOL_ID'] === '1') console.info(`property seed: SEED=${seed}`);
