// Runs whole products on the array and records their results and cycles.
//
//   program DATA_BITS INPUT OUTPUT
//
// Both files are little-endian int32. INPUT: the number of products; per product down_size across_size streamed_size
// and the shapes of both operands and the result, each followed, in this order, by x and y row after row. OUTPUT: per
// product the cycles, then the result row after row. Memories answer within the cycle and say 0 outside the matrix; a
// result outside it is dropped. Results start as noise, so a word that is never written shows. One reset at the
// start; a product starts in the cycle after the one before has ended. Ends with status 1 for a product that hangs.

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <vector>

#include "Vgemm.h"
#include "verilated.h"

namespace {

using Word = std::int32_t;

constexpr std::int64_t PATIENCE_CYCLES = 10'000'000;
constexpr std::uint32_t NOISE = 0x9e3779b9;

[[noreturn]] void stop(const char *why) {
    std::fprintf(stderr, "%s\n", why);
    std::exit(1);
}

struct Matrix {
    std::size_t rows;
    std::size_t columns;
    std::vector<Word> words;

    Word at(std::size_t row, std::size_t column) const {
        return row < rows && column < columns ? words[row * columns + column] : 0;
    }
};

class Input {
  public:
    explicit Input(const char *path) : file_(std::fopen(path, "rb")) {
        if (!file_) stop("the input cannot be read");
    }

    Word word() {
        Word value;
        if (std::fread(&value, sizeof value, 1, file_) != 1) stop("the input ends early");
        return value;
    }

    Matrix matrix(std::size_t rows, std::size_t columns) {
        Matrix read{rows, columns, std::vector<Word>(rows * columns)};
        for (Word &value : read.words) value = word();
        return read;
    }

  private:
    std::FILE *file_;
};

void tick(VerilatedContext &context, Vgemm &array) {
    array.clk = 0;
    array.eval();
    context.timeInc(1);
    array.clk = 1;
    array.eval();
    context.timeInc(1);
}

template <typename Port>
void answer(Port &lanes, const Matrix &memory, std::size_t row, std::size_t lane, std::uint32_t mask) {
    for (std::size_t i = 0; i < std::size(lanes); ++i) {
        lanes[i] = static_cast<std::uint32_t>(memory.at(row, lane + i)) & mask;
    }
}

void store(Vgemm &array, Matrix &result) {
    for (std::size_t c = 0; c < std::size(array.result); ++c) {
        const std::size_t row = array.result_row[c], column = array.result_lane[c] + c;
        if (!array.result_valid[c] || row >= result.rows || column >= result.columns) continue;
        Word &word = result.words[row * result.columns + column];
        const std::uint32_t before = array.result_adds[c] ? static_cast<std::uint32_t>(word) : 0;
        word = static_cast<Word>(before + static_cast<std::uint32_t>(array.result[c]));
    }
}

std::int64_t run(VerilatedContext &context, Vgemm &array, const Matrix &x, const Matrix &y, Matrix &result,
                 std::uint32_t mask) {
    array.start = 1;
    tick(context, array);
    array.start = 0;
    for (std::int64_t cycle = 1; cycle < PATIENCE_CYCLES; ++cycle) {
        array.clk = 0;
        array.eval();
        answer(array.x, x, array.x_row, array.x_lane, mask);
        answer(array.y, y, array.y_row, array.y_lane, mask);
        array.eval();
        store(array, result);
        const bool done = array.done;
        tick(context, array);
        if (done) return cycle;
    }
    stop("a product does not end");
}

}  // namespace

int main(int argc, char **argv) {
    if (argc != 4) stop("usage: program DATA_BITS INPUT OUTPUT");
    const std::uint32_t mask = (std::uint32_t{1} << std::atoi(argv[1])) - 1;
    Input input(argv[2]);
    std::FILE *output = std::fopen(argv[3], "wb");
    if (!output) stop("the output cannot be written");

    const auto context = std::make_unique<VerilatedContext>();
    context->randReset(2);
    context->randSeed(1);
    Vgemm array(context.get(), "");
    array.start = 0;
    array.rst = 1;  // until the delay lines, which have no reset, have run empty
    for (std::size_t left = std::size(array.x) + std::size(array.result); left > 0; --left) tick(*context, array);
    array.rst = 0;

    for (Word left = input.word(); left > 0; --left) {
        array.down_size = input.word();
        array.across_size = input.word();
        array.streamed_size = input.word();
        Matrix operands[3];
        std::size_t shapes[3][2];
        for (auto &shape : shapes) {
            shape[0] = input.word();
            shape[1] = input.word();
        }
        for (int i = 0; i < 2; ++i) operands[i] = input.matrix(shapes[i][0], shapes[i][1]);
        Matrix result{shapes[2][0], shapes[2][1], std::vector<Word>(shapes[2][0] * shapes[2][1], Word(NOISE))};
        const auto cycles = static_cast<Word>(run(*context, array, operands[0], operands[1], result, mask));
        std::fwrite(&cycles, sizeof cycles, 1, output);
        std::fwrite(result.words.data(), sizeof(Word), result.words.size(), output);
    }
    array.final();
    return std::fclose(output) == 0 ? 0 : 1;
}
