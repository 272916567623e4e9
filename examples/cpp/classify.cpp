// Labels pictures with a bundle from C++, in one file. Build: see CMakeLists.txt.
// Run: ./classify MODEL labels.txt PICTURE.ppm…   MODEL is the .onnx or .xml of a variant.
//
// The graph takes uint8 RGB and gives probabilities: no mean, no deviation, no layout, no softmax to get wrong.
// The picture must be upright and cut to the model's size; the bundle's reference/pixels are just that.
#include <openvino/openvino.hpp>

#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

std::vector<std::string> read_labels(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::vector<std::string> labels;
    for (std::string line; std::getline(file, line);) labels.push_back(line);
    return labels;
}

// Reads a binary PPM (P6, 8 bits) of just this size.
std::vector<std::uint8_t> read_ppm(const std::string& path, std::size_t height, std::size_t width) {
    std::ifstream file(path, std::ios::binary);
    std::string kind;
    std::size_t columns = 0, rows = 0, most = 0;
    file >> kind >> columns >> rows >> most;
    file.get();  // the one white space before the pixels
    if (!file || kind != "P6" || most != 255 || columns != width || rows != height)
        throw std::runtime_error(path + " must be a P6 file of " + std::to_string(width) + "x" + std::to_string(height));
    std::vector<std::uint8_t> pixels(height * width * 3);
    file.read(reinterpret_cast<char*>(pixels.data()), static_cast<std::streamsize>(pixels.size()));
    if (!file) throw std::runtime_error(path + " is truncated");
    return pixels;
}

}  // namespace

int main(int count, char** arguments) try {
    if (count < 4) {
        std::cerr << "usage: classify MODEL LABELS PICTURE.ppm...\n";
        return 2;
    }
    const auto labels = read_labels(arguments[2]);
    ov::Core core;
    auto model = core.read_model(arguments[1]);
    auto shape = model->input("images").get_partial_shape();  // (N, height, width, 3)
    shape[0] = 1;
    model->reshape({{"images", shape}});
    // The precision is named: some CPUs would take bf16 by themselves.
    auto compiled = core.compile_model(model, "CPU", ov::hint::inference_precision(ov::element::f32),
                                       ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY));
    auto request = compiled.create_infer_request();
    const auto fixed = shape.to_shape();
    for (int number = 3; number < count; ++number) {
        auto pixels = read_ppm(arguments[number], fixed[1], fixed[2]);
        request.set_tensor("images", ov::Tensor(ov::element::u8, fixed, pixels.data()));
        request.infer();
        const auto tensor = request.get_tensor("probabilities");
        if (tensor.get_size() != labels.size()) throw std::runtime_error("labels.txt is of another model");
        const float* shares = tensor.data<const float>();
        std::size_t best = 0;
        for (std::size_t place = 1; place < labels.size(); ++place)
            if (shares[place] > shares[best]) best = place;
        std::printf("%s %s %.6f\n", arguments[number], labels[best].c_str(), static_cast<double>(shares[best]));
    }
    return 0;
} catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 2;
}
